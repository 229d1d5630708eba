package lineage

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Where the state of a lake is kept, relative to its root. Hive readers skip
// names that begin with an underscore.
const (
	StateDir      = "_drivemill"
	CommitsDir    = StateDir + "/commits"
	ClaimsDir     = StateDir + "/claims"
	RunsDir       = StateDir + "/runs"
	QuarantineDir = StateDir + "/quarantine"
	// AttemptsDir has a mark for each unit that a process is at work on, or did
	// not come back from.
	AttemptsDir = StateDir + "/attempts"
)

// Commit is the record of one unit: what its files were made from. It holds
// nothing that differs between two processes that do the same work, so that
// the same unit committed twice gives the same bytes.
type Commit struct {
	Layout   int    `json:"layout"` // of this record: 1
	Pipeline string `json:"pipeline"`
	Unit     string `json:"unit"` // the logical input, as a person would name it
	Slot     string `json:"slot"`
	Revision string `json:"revision"`
	// Sequence counts the revisions of the slot from 1; the highest one is in
	// force.
	Sequence int `json:"sequence"`
	// Replaces is the revision that this one takes the place of.
	Replaces   string            `json:"replaces,omitempty"`
	Plan       string            `json:"plan"` // fingerprint of the whole pipeline
	Attributes map[string]string `json:"attributes,omitempty"`
	DriveDate  string            `json:"drive_date,omitempty"`
	Inputs     []Input           `json:"inputs"`
	Tables     []Table           `json:"tables"`
	Quarantine []pipeline.File   `json:"quarantine,omitempty"`
	Ledger     Ledger            `json:"ledger"`
	Problems   []Problem         `json:"problems,omitempty"`
	Binary     Binary            `json:"binary"`
}

// Input identifies one object that was read.
type Input struct {
	Input      string            `json:"input"`
	URI        string            `json:"uri"`
	Size       int64             `json:"size"`
	ETag       string            `json:"etag"`
	Format     string            `json:"format"`
	Attributes map[string]string `json:"attributes,omitempty"`
	// Read lists the byte ranges that were read, merged, half-open.
	Read [][2]int64 `json:"read"`
}

// Table is one lake table of a unit.
type Table struct {
	Output      string          `json:"output"`
	Name        string          `json:"name"`
	Fingerprint string          `json:"fingerprint"`
	Revision    string          `json:"revision"`
	Rows        int64           `json:"rows"`
	Files       []pipeline.File `json:"files"`
	Columns     []Column        `json:"columns"`
	Reads       []Origin        `json:"reads,omitempty"`
}

// Column is the lineage of one column of a lake table.
type Column struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	Expression string   `json:"expression,omitempty"`
	Identity   bool     `json:"identity,omitempty"`
	From       []Origin `json:"from,omitempty"`
}

// Origin is a column that something was made from: of a table of an input, or
// of a side table, which Dataset then names.
type Origin struct {
	Input   string `json:"input,omitempty"`
	Table   string `json:"table,omitempty"`
	Dataset string `json:"dataset,omitempty"`
	Column  string `json:"column"`
	How     string `json:"how,omitempty"`
}

// Problem is damage found in an input.
type Problem struct {
	URI    string `json:"uri"`
	Kind   string `json:"kind"`
	Table  string `json:"table,omitempty"`
	Offset *int64 `json:"offset,omitempty"`
	Detail string `json:"detail"`
	Rows   int64  `json:"rows,omitempty"`
	Loses  bool   `json:"loses,omitempty"`
}

// Binary says which build wrote a record. It invalidates nothing.
type Binary struct {
	Version string `json:"version"`
	VCS     string `json:"vcs,omitempty"`
}

// Keys returns the keys of all files the commit refers to.
func (c *Commit) Keys() []string {
	var keys []string
	for _, t := range c.Tables {
		for _, f := range t.Files {
			keys = append(keys, f.Key)
		}
	}
	for _, f := range c.Quarantine {
		keys = append(keys, f.Key)
	}
	return keys
}

// Encode returns the bytes of the record.
func (c *Commit) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding commit record: %w", err)
	}
	return append(b, '\n'), nil
}

// DecodeCommit parses a record. The key is for messages.
func DecodeCommit(key string, data []byte) (*Commit, error) {
	var c Commit
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("commit record %s: %w: %w", key, pipeline.ErrCorrupt, err)
	}
	if c.Layout != 1 {
		return nil, fmt.Errorf("commit record %s: layout %d: %w (written by a newer drivemill?)", key, c.Layout, pipeline.ErrUnsupported)
	}
	return &c, nil
}

// CommitKey is what the key of a commit record says, so that a listing is
// enough to know what is done.
type CommitKey struct {
	Slot     string
	Sequence int
	Revision string
}

// String returns the key of the record in the store.
func (k CommitKey) String() string {
	return fmt.Sprintf("%s/%s.%06d.%s.json", CommitsDir, k.Slot, k.Sequence, k.Revision)
}

// ClaimKey returns the key of the claim to the same place in the order.
func (k CommitKey) ClaimKey() string {
	return fmt.Sprintf("%s/%s.%06d.json", ClaimsDir, k.Slot, k.Sequence)
}

// ParseCommitKey reads the key of a commit record.
func ParseCommitKey(key string) (CommitKey, bool) {
	parts := strings.Split(path.Base(key), ".")
	if len(parts) != 4 || parts[3] != "json" {
		return CommitKey{}, false
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 {
		return CommitKey{}, false
	}
	return CommitKey{Slot: parts[0], Sequence: n, Revision: parts[2]}, true
}

// Claim is written before the files of a revision become visible. It settles
// the order of revisions of a slot, because only one process can create it,
// and it names the files, so that those of a process that died before its
// commit record can be found and removed.
type Claim struct {
	Revision string   `json:"revision"`
	Keys     []string `json:"keys"`
}

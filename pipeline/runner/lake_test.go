package runner

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// A sweep leaves the files of the revision it removes when another process has
// claimed to bring that revision back: it may have published them by now.
func TestSweepSparesClaimedFiles(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://sweep-test")
	if err != nil {
		t.Fatal(err)
	}
	const slot = "0123456789abcdef"
	put := func(key string, v any) {
		t.Helper()
		data, err := json.Marshal(v)
		if err == nil {
			err = st.Put(ctx, key, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record := func(seq int, rev string, keys ...string) {
		k := lineage.CommitKey{Slot: slot, Sequence: seq, Revision: rev}
		c := lineage.Commit{Layout: 1, Slot: slot, Revision: rev, Sequence: seq, Tables: []lineage.Table{{}}}
		for _, key := range keys {
			put(key, "")
			c.Tables[0].Files = append(c.Tables[0].Files, pipeline.File{Key: key})
		}
		put(k.ClaimKey(), lineage.Claim{Revision: rev, Keys: keys})
		put(k.String(), c)
	}
	record(1, "aaaaaaaaaaaa", "t/a1.parquet", "t/a2.parquet")
	record(2, "bbbbbbbbbbbb", "t/b.parquet")
	back := lineage.CommitKey{Slot: slot, Sequence: 3}
	put(back.ClaimKey(), lineage.Claim{Revision: "aaaaaaaaaaaa", Keys: []string{"t/a1.parquet"}})

	l := &lake{root: st.Root(), store: st}
	sw, err := l.sweep(ctx, nil, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(sw.Files) != 1 || sw.Files[0] != "t/a2.parquet" {
		t.Errorf("removed %v, want t/a2.parquet alone", sw.Files)
	}
	if !l.contested()[slot] {
		t.Error("the slot is not contested, although a claim follows its record")
	}
}

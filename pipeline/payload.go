package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Payloads are the values of binary columns: images, point clouds, packets. A
// large one is by default not copied into a lake, but referred to: its cell is
// null, and the columns that PayloadFields lists say where its bytes lie. Which
// columns a table has depends on the declaration, never on the data.

// MetaPayload is the key of field metadata that marks binary columns that can
// be referred to. In a table that a format describes the value is "": it can be
// delivered by reference. In a table as it flows it is "<policy>:<bytes>", and
// the columns of PayloadFields follow.
const MetaPayload = "payload"

// MetaMaxBytes is the key of field metadata that bounds the length of a binary
// column, where its type does.
const MetaMaxBytes = "max_bytes"

// DefaultPayloadBytes is the longest payload that is kept inline by default.
const DefaultPayloadBytes = 64 << 10

// PayloadPolicy says what becomes of the payloads of a column that are longer
// than a threshold.
type PayloadPolicy string

// Policies for payloads.
const (
	ReferPayloads PayloadPolicy = "reference" // null, and a reference beside it
	InlinePayload PayloadPolicy = "inline"    // kept as they are
	DropPayloads  PayloadPolicy = "drop"      // null, and their size beside it
)

// Suffixes of the columns that stand beside a payload, after the name of its
// column.
const (
	PayloadURI    = ".uri"          // the object; null for payloads that are inline
	PayloadOffset = ".offset"       // of the payload in the object, or of its chunk where PayloadInner is not null
	PayloadInner  = ".inner_offset" // of the payload in the unpacked chunk
	PayloadSize   = ".size"         // bytes, also of payloads that are inline
	PayloadSHA256 = ".sha256"       // in hexadecimal; null for payloads that are inline
)

// PayloadFields are the columns that stand beside the payload column called
// name.
func PayloadFields(name string, policy PayloadPolicy) []arrow.Field {
	size := arrow.Field{Name: name + PayloadSize, Type: arrow.Int64Type, Nullable: true,
		Metadata: FieldMeta(MetaDescription, "bytes of "+name, MetaUnit, "B")}
	switch policy {
	case DropPayloads:
		return []arrow.Field{size}
	case ReferPayloads:
		field := func(suffix string, t arrow.DataType, description string) arrow.Field {
			return arrow.Field{Name: name + suffix, Type: t, Nullable: true, Metadata: FieldMeta(MetaDescription, description)}
		}
		return []arrow.Field{
			field(PayloadURI, arrow.StringType, "object that holds "+name+" where it is not inline"),
			field(PayloadOffset, arrow.Int64Type, "where "+name+" begins in the object, or its compressed chunk"),
			field(PayloadInner, arrow.Int64Type, "where "+name+" begins in the unpacked chunk; null where it is not compressed"),
			size,
			field(PayloadSHA256, arrow.StringType, "SHA-256 of "+name+" where it is not inline"),
		}
	}
	return nil
}

// PayloadMark is the value of MetaPayload in a table as it flows.
func PayloadMark(policy PayloadPolicy, above int64) string {
	return string(policy) + ":" + strconv.FormatInt(above, 10)
}

// PayloadOf tells how the payloads of column i of a table flow: those longer
// than above bytes may be null, as their columns beside them say. ok is false
// for all other columns, and for a column that lost those beside it on the way:
// its payloads are always there.
func PayloadOf(s *arrow.Schema, i int) (policy PayloadPolicy, above int64, ok bool) {
	f := s.Field(i)
	if f.Type.ID() != arrow.BINARY {
		return "", 0, false
	}
	mark, _ := f.Metadata.GetValue(MetaPayload)
	name, bytes, found := strings.Cut(mark, ":")
	above, err := strconv.ParseInt(bytes, 10, 64)
	if !found || err != nil {
		return "", 0, false
	}
	policy = PayloadPolicy(name)
	for _, beside := range PayloadFields(f.Name, policy) {
		if len(s.FieldIndices(beside.Name)) == 0 {
			return "", 0, false
		}
	}
	return policy, above, true
}

// PayloadSelection asks a decoder to deliver, behind the columns of a table,
// those that stand beside the payload column called Column.
type PayloadSelection struct {
	Column string
	Policy PayloadPolicy // ReferPayloads or DropPayloads
	Above  int64         // payloads longer than this are referred to
	// Bytes asks for these in Column too, which otherwise is null.
	Bytes bool
}

// PayloadCounts counts the payloads that were longer than the threshold.
type PayloadCounts struct {
	Referenced      int64 `json:"referenced,omitempty"`
	ReferencedBytes int64 `json:"referenced_bytes,omitempty"`
	Dropped         int64 `json:"dropped,omitempty"`
	DroppedBytes    int64 `json:"dropped_bytes,omitempty"`
}

// Add adds the counts of o.
func (c *PayloadCounts) Add(o PayloadCounts) {
	c.Referenced += o.Referenced
	c.ReferencedBytes += o.ReferencedBytes
	c.Dropped += o.Dropped
	c.DroppedBytes += o.DroppedBytes
}

// Payload refers to bytes of a recording, as the columns beside a payload do.
type Payload struct {
	URI    string
	Offset int64
	Inner  int64 // -1 where the bytes lie in the object as they are
	Size   int64
	SHA256 string // in hexadecimal; empty: not checked
}

// ChunkReader is implemented by formats that compress chunks, and refer to
// payloads inside of them.
type ChunkReader interface {
	// ReadChunk returns the unpacked bytes of the chunk that begins at off.
	ReadChunk(ctx context.Context, src Source, off int64) ([]byte, error)
}

// maxPayload bounds what a reference may make a reader hold in memory.
const maxPayload = 1 << 30

// ReadPayload returns the bytes that a reference means. src is the object of
// its URI, and f the format of that object. It fails with an error that wraps
// ErrChanged when the bytes are not those that were referred to.
func ReadPayload(ctx context.Context, f Format, src Source, p Payload) ([]byte, error) {
	data, err := readPayload(ctx, f, src, p)
	if err != nil {
		return nil, &DecodeError{Object: src.Object().URI, Format: f.Name(), Offset: p.Offset, Record: -1, Err: fmt.Errorf("following a reference: %w", err)}
	}
	return data, nil
}

func readPayload(ctx context.Context, f Format, src Source, p Payload) ([]byte, error) {
	if p.Size < 0 || p.Size > maxPayload {
		return nil, fmt.Errorf("payload of %d bytes: %w", p.Size, ErrLimit)
	}
	var data []byte
	if p.Inner < 0 {
		if size := src.Object().Size; p.Offset < 0 || p.Offset > size || p.Size > size-p.Offset {
			return nil, fmt.Errorf("%d bytes, in an object of %d: %w", p.Size, size, ErrTruncated)
		}
		data = make([]byte, p.Size)
		if n, err := src.ReadAt(ctx, data, p.Offset); err != nil && (!errors.Is(err, io.EOF) || n < len(data)) {
			return nil, err
		}
	} else {
		r, ok := f.(ChunkReader)
		if !ok {
			return nil, fmt.Errorf("%s has no compressed chunks: %w", f.Name(), ErrUnsupported)
		}
		chunk, err := r.ReadChunk(ctx, src, p.Offset)
		if err != nil {
			return nil, err
		}
		if n := int64(len(chunk)); p.Inner > n || p.Size > n-p.Inner {
			return nil, fmt.Errorf("%d bytes at %d, in a chunk of %d: %w", p.Size, p.Inner, n, ErrTruncated)
		}
		data = chunk[p.Inner : p.Inner+p.Size]
	}
	if p.SHA256 != "" {
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
			return nil, fmt.Errorf("the bytes have SHA-256 %x, the reference says %s: %w", sum, p.SHA256, ErrChanged)
		}
	}
	return data, nil
}

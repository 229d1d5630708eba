package runner

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/store"
)

// A list of objects stands in for listing a store. It is text with one key or
// URI a line, JSON lines with key or uri and, where known, size, etag and
// modified, or the manifest.json of an S3 Inventory, whose data files are CSV
// or Parquet. Text and JSON lines may be compressed by gzip or zstd. Objects
// whose size and ETag the list does not tell are looked up one by one.

// maxListBytes bounds a list, and each data file of an inventory, unpacked.
const maxListBytes = 1 << 30

// listed is one entry of a list.
type listed struct {
	Key      string    `json:"key"`
	URI      string    `json:"uri"`
	Size     int64     `json:"size"`
	ETag     string    `json:"etag"`
	Modified time.Time `json:"modified"`
}

// inventory is the part of the manifest of an S3 Inventory that is needed.
type inventory struct {
	SourceBucket string `json:"sourceBucket"`
	FileFormat   string `json:"fileFormat"`
	FileSchema   string `json:"fileSchema"`
	Files        []struct {
		Key  string `json:"key"`
		Size int64  `json:"size"`
	} `json:"files"`
}

// listObjects reads the list of an input, and returns the objects in it that
// lie in st, in order of key, each once.
func (r *Runner) listObjects(ctx context.Context, in *config.Input, st pipeline.Store) ([]pipeline.Object, error) {
	entries, err := r.readList(ctx, in.Objects.Value)
	if err != nil {
		return nil, fmt.Errorf("input %s: objects %s: %w", in.Name, in.Objects.Value, err)
	}
	root := strings.TrimSuffix(absolute(st.Root()), "/") + "/"
	bucket := root // what keys are relative to
	if scheme, rest, ok := strings.Cut(root, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		bucket = scheme + "://" + host + "/"
	}
	var out []pipeline.Object
	for _, e := range entries {
		uri := e.URI
		if uri == "" || !strings.Contains(uri, "://") && !strings.HasPrefix(uri, "/") {
			uri = bucket + strings.TrimPrefix(uri+e.Key, "/")
		}
		key, ok := strings.CutPrefix(absolute(uri), root)
		if !ok || key == "" {
			continue
		}
		out = append(out, pipeline.Object{URI: strings.TrimSuffix(st.Root(), "/") + "/" + key, Key: key, Size: e.Size, ETag: strings.Trim(e.ETag, `"`), Modified: e.Modified})
	}
	slices.SortStableFunc(out, func(a, b pipeline.Object) int { return strings.Compare(a.Key, b.Key) })
	out = slices.CompactFunc(out, func(a, b pipeline.Object) bool { return a.Key == b.Key })
	return out, nil
}

// lookUp completes objects of which the list tells no ETag; those that are not
// there are left out by that name.
func (r *Runner) lookUp(ctx context.Context, in *config.Input, st pipeline.Store, objects []pipeline.Object) ([]pipeline.Object, error) {
	missing := make([]bool, len(objects))
	err := atOnce(len(objects), func(i int) error {
		if objects[i].ETag != "" {
			return nil
		}
		o, err := st.Stat(ctx, objects[i].Key)
		if missing[i] = errors.Is(err, pipeline.ErrNotFound); missing[i] {
			return nil
		}
		objects[i] = o
		return err
	})
	if err != nil {
		return nil, err
	}
	out := objects[:0]
	for i, o := range objects {
		if missing[i] {
			r.left = append(r.left, LeftOut{Name: o.URI, Why: "it is in the list " + in.Objects.Value + ", but not there"})
		} else {
			out = append(out, o)
		}
	}
	return out, nil
}

// atOnce calls do for each number below n, several at once, and returns all
// errors.
func atOnce(n int, do func(i int) error) error {
	errs := make([]error, readAtOnce)
	var wg sync.WaitGroup
	for w := range min(readAtOnce, n) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < n && errs[w] == nil; i += readAtOnce {
				errs[w] = do(i)
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *Runner) readList(ctx context.Context, uri string) ([]listed, error) {
	data, err := r.readSmall(ctx, uri)
	if err != nil {
		return nil, err
	}
	var inv inventory
	if json.Unmarshal(data, &inv) != nil || inv.FileFormat == "" {
		return parseList(data)
	}
	var out []listed
	for _, f := range inv.Files {
		// Data lies under the manifest's bucket; a copy has it beside the
		// folder of the manifest.
		at := path.Join(path.Dir(path.Dir(strings.TrimPrefix(uri, "s3://"))), "data", path.Base(f.Key))
		if bucket, ok := strings.CutPrefix(uri, "s3://"); ok {
			bucket, _, _ = strings.Cut(bucket, "/")
			at = "s3://" + bucket + "/" + f.Key
		}
		var rows []listed
		switch inv.FileFormat {
		case "CSV":
			var data []byte
			if data, err = r.readSmall(ctx, at); err == nil {
				rows, err = parseInventory(data, inv.FileSchema)
			}
		case "Parquet":
			rows, err = r.readInventory(ctx, at)
		default:
			err = fmt.Errorf("an inventory in %s: choose CSV or Parquet: %w", inv.FileFormat, pipeline.ErrUnsupported)
		}
		if err != nil {
			return nil, fmt.Errorf("inventory file %s: %w", at, err)
		}
		for i := range rows {
			rows[i].URI = "s3://" + inv.SourceBucket + "/" + rows[i].Key
		}
		out = append(out, rows...)
	}
	return out, nil
}

// openOne opens the object at a URI that is taken literally.
func (r *Runner) openOne(ctx context.Context, uri string) (pipeline.Source, error) {
	root, key, err := store.Split(uri)
	if err != nil {
		return nil, err
	}
	st, err := r.OpenStore(ctx, root)
	if err != nil {
		return nil, err
	}
	obj, err := st.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return st.Open(ctx, obj)
}

// readSmall reads an object whole, unpacked.
func (r *Runner) readSmall(ctx context.Context, uri string) ([]byte, error) {
	src, err := r.openOne(ctx, uri)
	if err != nil {
		return nil, err
	}
	raw, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	plain, _, err := store.Decompress(uri, raw)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	data, err := io.ReadAll(io.LimitReader(plain, maxListBytes+1))
	if err == nil && len(data) > maxListBytes {
		err = fmt.Errorf("more than %d bytes: %w", maxListBytes, pipeline.ErrLimit)
	}
	return data, err
}

// parseList reads text with a key or URI a line, or JSON lines.
func parseList(data []byte) ([]listed, error) {
	var out []listed
	n := 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		var e listed
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			continue
		case line[0] == '{':
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, fmt.Errorf("line %d: %w: %w", n, pipeline.ErrCorrupt, err)
			}
			if (e.Key == "") == (e.URI == "") || e.Size < 0 {
				return nil, fmt.Errorf("line %d: want key or uri, and a size that is not negative: %w", n, pipeline.ErrCorrupt)
			}
		default:
			e.URI = string(line)
		}
		out = append(out, e)
	}
	return out, nil
}

// parseInventory reads a data file in CSV. Keys in it are URL-encoded, and its
// columns are those of the manifest's fileSchema.
func parseInventory(data []byte, schema string) ([]listed, error) {
	column := func(name string) int {
		return slices.IndexFunc(strings.Split(schema, ","), func(s string) bool { return strings.TrimSpace(s) == name })
	}
	key, size, etag, modified := column("Key"), column("Size"), column("ETag"), column("LastModifiedDate")
	latest, deleted := column("IsLatest"), column("IsDeleteMarker")
	if key < 0 || size < 0 || etag < 0 {
		return nil, fmt.Errorf("the inventory has the fields %q, needed are Key, Size and ETag: %w", schema, pipeline.ErrSchema)
	}
	in := csv.NewReader(bytes.NewReader(data))
	in.ReuseRecord = true
	var out []listed
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err)
		}
		cell := func(i int) string {
			if i < 0 || i >= len(row) {
				return ""
			}
			return row[i]
		}
		if cell(latest) == "false" || cell(deleted) == "true" {
			continue
		}
		line, _ := in.FieldPos(0)
		e := listed{ETag: strings.Clone(cell(etag))}
		if e.Key, err = url.QueryUnescape(cell(key)); err == nil {
			e.Size, err = strconv.ParseInt(cell(size), 10, 64)
		}
		if err == nil && cell(modified) != "" {
			e.Modified, err = time.Parse(time.RFC3339Nano, cell(modified))
		}
		if err == nil && (e.Size < 0 || e.Key == "") {
			err = errors.New("no key, or a negative size")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", line, pipeline.ErrCorrupt, err)
		}
		out = append(out, e)
	}
}

// readInventory reads a data file in Parquet.
func (r *Runner) readInventory(ctx context.Context, uri string) ([]listed, error) {
	src, err := r.openOne(ctx, uri)
	if err != nil {
		return nil, err
	}
	t, err := readTable(ctx, r.Registry, src)
	if err != nil {
		return nil, err
	}
	defer t.Record.Release()
	text := func(name string) *arrow.String {
		if i := t.Table.Column(name); i >= 0 {
			a, _ := t.Record.Column(i).(*arrow.String)
			return a
		}
		return nil
	}
	flag := func(name string, row int) (set, known bool) {
		if i := t.Table.Column(name); i >= 0 {
			if a, ok := t.Record.Column(i).(*arrow.Bool); ok && a.IsValid(row) {
				return a.Value(row), true
			}
		}
		return false, false
	}
	keys, etags := text("key"), text("e_tag")
	var sizes *arrow.Int64
	if i := t.Table.Column("size"); i >= 0 {
		sizes, _ = t.Record.Column(i).(*arrow.Int64)
	}
	if keys == nil || etags == nil || sizes == nil {
		return nil, fmt.Errorf("the inventory has no columns key, size and e_tag: %w", pipeline.ErrSchema)
	}
	var times *arrow.Timestamp
	if i := t.Table.Column("last_modified_date"); i >= 0 {
		times, _ = t.Record.Column(i).(*arrow.Timestamp)
	}
	var out []listed
	for i := range int(t.Record.NumRows()) {
		latest, known := flag("is_latest", i)
		deleted, _ := flag("is_delete_marker", i)
		if known && !latest || deleted || !keys.IsValid(i) || !sizes.IsValid(i) {
			continue
		}
		e := listed{Key: strings.Clone(keys.Value(i)), Size: sizes.Value(i), ETag: strings.Clone(etags.Value(i))}
		if times != nil && times.IsValid(i) {
			e.Modified = time.Unix(0, int64(times.Value(i))).UTC()
		}
		out = append(out, e)
	}
	return out, nil
}

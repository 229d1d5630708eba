package rosbag2

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/rosbag2/sqlite"
	"github.com/drivemill/drivemill/pipeline"
)

// describer finds out what is in a recording.
type describer struct {
	f    *Format
	src  pipeline.Source
	d    *pipeline.Description
	rec  *recording
	meta *metadata // of metadata.yaml; may be nil
	// whole tells that the files at hand are those of the metadata, which counts
	// their messages, less those of missing.
	whole    bool
	missing  bool
	unlisted bool
	trusted  bool // the counts of the metadata are those of the databases
	distro   string
	writer   string
}

// Describe reads metadata.yaml, and of the storage files what it takes to know
// their tables. Databases are scanned unless their rowids agree with the
// counts of the metadata.
func (f *Format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	x := &describer{f: f, src: src, rec: &recording{}}
	x.d = &pipeline.Description{Format: Name, Profile: "ros2", Index: x.rec}
	if err := x.describe(ctx); err != nil {
		return nil, fail(src.Object().URI, err)
	}
	return x.d, nil
}

func (x *describer) problem(kind, table string, loses bool, format string, args ...any) {
	x.d.Problems = append(x.d.Problems, pipeline.Problem{Kind: kind, Table: table, Offset: -1, Loses: loses, Detail: fmt.Sprintf(format, args...)})
}

func (x *describer) describe(ctx context.Context) error {
	meta, beside, err := readMetadata(ctx, x.src)
	switch {
	case err != nil && !damaged(err):
		return err
	case err != nil:
		x.problem("bad_metadata", "", false, "%v", err)
	case meta != nil:
		if err := meta.check(); err != nil {
			return err
		}
		x.meta = meta
		if meta.Version > metadataVersion {
			x.problem("newer_version", "", false, "metadata version %d; %d is the newest that is known", meta.Version, metadataVersion)
		}
	}
	files, err := x.files(beside)
	if err != nil {
		return err
	}
	var first error
	for _, p := range files {
		err := x.part(ctx, p)
		if err == nil {
			x.rec.parts = append(x.rec.parts, p)
			continue
		}
		if !damaged(err) {
			return err
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", p.name, err)
		}
		x.missing = true
		x.problem("bad_file", "", true, "%s: %v", p.name, err)
	}
	if len(x.rec.parts) == 0 {
		return first
	}
	if err := x.sameStorage(); err != nil {
		return err
	}
	if err := x.scan(ctx); err != nil {
		return err
	}
	for _, p := range x.rec.parts {
		if p.db != nil {
			x.partProblems(p, p.db.problems)
		} else {
			x.partProblems(p, p.info.Problems)
		}
	}
	if err := x.tables(); err != nil {
		return err
	}
	x.details()
	return nil
}

// partProblems reports what is wrong with a file, by its name if there are
// several.
func (x *describer) partProblems(p *part, problems []pipeline.Problem) {
	for _, q := range problems {
		if len(x.rec.parts) > 1 {
			q.Detail = p.name + ": " + q.Detail
		}
		x.d.Problems = append(x.d.Problems, q)
	}
}

// files picks the storage files out of the parts, and compares them with the
// list of the metadata. Beside tells that the metadata is no part.
func (x *describer) files(beside bool) ([]*part, error) {
	var files []*part
	parts := pipeline.Parts(x.src)
	for i, s := range parts {
		if name := base(s.Object().Key); name != MetadataFile && !isJournal(name) {
			files = append(files, &part{object: i, name: name})
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s without the storage files it lists: %w", MetadataFile, pipeline.ErrNotFound)
	}
	if x.meta == nil {
		return files, nil
	}
	var listed []string
	for _, p := range x.meta.Paths {
		listed = append(listed, plain(base(p)))
	}
	if beside && !slices.ContainsFunc(files, func(p *part) bool { return slices.Contains(listed, plain(p.name)) }) {
		x.meta = nil // it is that of another recording in the folder
		return files, nil
	}
	x.whole = true
	kept := files[:0]
	stems := make(map[fileName]bool)
	for _, p := range listed {
		if n, ok := parseName(p); ok {
			n.number, n.zstd = 0, false
			stems[n] = true
		}
	}
	seen := make(map[string]bool)
	for _, p := range files {
		n, _ := parseName(p.name)
		n.number, n.zstd = 0, false
		switch {
		case seen[plain(p.name)]:
			x.problem("unlisted_file", "", false, "%s is there plain and compressed; one is read", p.name)
			continue
		case slices.Contains(listed, plain(p.name)):
		case len(files) == 1 && len(listed) <= 1:
			// It was renamed.
		case stems[n]:
			x.unlisted = true
			x.problem("unlisted_file", "", false, "%s lists no %s, which is read", MetadataFile, p.name)
		default:
			x.problem("unlisted_file", "", false, "%s lists no %s, which is not read", MetadataFile, p.name)
			continue
		}
		seen[plain(p.name)] = true
		kept = append(kept, p)
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("none of the files that %s lists is there: %w", MetadataFile, pipeline.ErrNotFound)
	}
	if beside && len(parts) == 1 && len(listed) > 1 {
		x.whole = false
		x.problem("split_recording", "", false, "%s is one of %d files of a recording; the others are not read", kept[0].name, len(listed))
		return kept, nil
	}
	for _, name := range listed {
		if !seen[name] && len(listed) > 1 {
			x.missing = true
			x.problem("missing_file", "", true, "%s lists %s, which is not there", MetadataFile, name)
		}
	}
	return kept, nil
}

// plain is the name of a storage file without the ending of compressed ones.
func plain(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".zstd"), ".zst")
}

// part opens a storage file and reads what it tells of itself.
func (x *describer) part(ctx context.Context, p *part) error {
	src := pipeline.Parts(x.src)[p.object]
	head := make([]byte, min(src.Object().Size, 16))
	if err := readHead(ctx, src, head); err != nil {
		return err
	}
	stored := src.Object().Size
	if p.zstd = isZstd(head); p.zstd {
		s, err := x.f.spill(ctx, src)
		if err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
		defer s.Close()
		if s.cut != nil {
			x.problem("truncated", "", true, "%s: unpacking ends at %d: %v", p.name, s.obj.Size, s.cut)
		}
		if s.file != nil {
			x.d.Details = append(x.d.Details, pipeline.Detail{Kind: "spill", Name: p.name, Fields: []pipeline.DetailField{
				{Name: "unpacked", Value: strconv.FormatInt(s.obj.Size, 10)}, {Name: "place", Value: "a temporary file, while it is read"}}})
		}
		x.compression("zstd", stored, s.obj.Size)
		src = s
		head = head[:min(int64(len(head)), s.obj.Size)]
		if err := readHead(ctx, src, head); err != nil {
			return err
		}
	}
	if string(head[:min(len(head), 5)]) == mcap.Magic[:5] {
		return x.mcapPart(ctx, p, src)
	}
	db, file, err := openDatabase(ctx, src)
	if err != nil {
		return err
	}
	p.db, p.inner = db, x.meta.perMessage() || x.meta == nil && db.meta.perMessage()
	if !p.zstd {
		if err := x.journals(ctx, p, file.WAL()); err != nil {
			return err
		}
	}
	x.setDistro(db.distro)
	if db.meta != nil {
		x.setDistro(db.meta.Distro)
	}
	return nil
}

func readHead(ctx context.Context, src pipeline.Source, head []byte) error {
	for at := 0; at < len(head); {
		n, err := src.ReadAt(ctx, head[at:], int64(at))
		if at += n; at < len(head) && err != nil {
			return err
		}
	}
	return nil
}

// setDistro notes the distribution that a part names.
func (x *describer) setDistro(name string) {
	if x.distro == "" {
		x.distro = name
	}
}

// mcapPart reads the summary of an MCAP file and its records called rosbag2,
// the last of which counts.
func (x *describer) mcapPart(ctx context.Context, p *part, src pipeline.Source) error {
	in, err := mcap.ReadInfo(ctx, src, mcap.Limits{})
	if err != nil {
		return err
	}
	p.info, p.inner = in, x.meta.perMessage()
	x.writer = in.Header.Library
	for _, m := range slices.Backward(in.Metadata) {
		if m.Name != "rosbag2" {
			continue
		}
		md, err := mcap.ReadMetadata(ctx, src, m, mcap.Limits{})
		if err != nil {
			if !damaged(err) {
				return err
			}
			x.problem("bad_metadata", "", false, "%s: %v", p.name, err)
			continue
		}
		x.setDistro(md.Values["ROS_DISTRO"])
		if text := md.Values["serialized_metadata"]; text != "" {
			inner, err := parseMetadata([]byte(text))
			if err != nil {
				x.problem("bad_metadata", "", false, "%s: %v", p.name, err)
				continue
			}
			x.setDistro(inner.Distro)
			if x.meta == nil && inner.perMessage() {
				p.inner = true
			}
		}
		break
	}
	for _, c := range in.Compression() {
		x.addCompression(c)
	}
	return nil
}

func (x *describer) compression(codec string, stored, raw int64) {
	x.addCompression(pipeline.Compression{Codec: codec, Chunks: 1, Compressed: stored, Raw: raw})
}

func (x *describer) addCompression(c pipeline.Compression) {
	for i := range x.d.Compression {
		if o := &x.d.Compression[i]; o.Codec == c.Codec {
			o.Chunks += c.Chunks
			o.Compressed += c.Compressed
			o.Raw += c.Raw
			return
		}
	}
	x.d.Compression = append(x.d.Compression, c)
}

// journals reports a write-ahead log or rollback journal beside a database,
// which shows that its writer did not come to an end.
func (x *describer) journals(ctx context.Context, p *part, wal bool) error {
	kind, suffix, least, what := "hot_journal", "-journal", int64(512), "a rollback journal: a transaction was not finished, so that rows may be torn or not there"
	if wal {
		kind, suffix, least, what = "hot_wal", "-wal", 32, "a write-ahead log: the rows in it are not read"
	}
	beside, err := openBeside(ctx, x.src, p.name+suffix)
	if err != nil || beside == nil {
		return err
	}
	size := beside.Object().Size
	if size <= least {
		return nil
	}
	head := make([]byte, 1)
	if err := readHead(ctx, beside, head); err != nil {
		return err
	}
	if head[0] == 0 {
		return nil // it was finished: its header is wiped
	}
	x.problem(kind, "", true, "%s%s of %d bytes is %s. Open the database once with SQLite, in a copy of the folder, to settle it", p.name, suffix, size, what)
	return nil
}

// sameStorage refuses recordings of two kinds of storage: their tables have
// different columns.
func (x *describer) sameStorage() error {
	for _, p := range x.rec.parts {
		kind := storageSQLite
		if p.info != nil {
			kind = storageMCAP
		}
		if x.rec.storage == "" {
			x.rec.storage = kind
		}
		if x.rec.storage != kind {
			return fmt.Errorf("%s is %s, the files before %s: %w", p.name, kind, x.rec.storage, pipeline.ErrUnsupported)
		}
	}
	if x.meta != nil && x.meta.Storage != "" && x.meta.Storage != x.rec.storage {
		x.problem("metadata_mismatch", "", false, "%s tells of %s storage, the files are %s", MetadataFile, x.meta.Storage, x.rec.storage)
	}
	return nil
}

// scan walks over the messages of databases unless the metadata tells of as
// many as there are rowids: then none was added or lost since.
func (x *describer) scan(ctx context.Context) error {
	if x.rec.storage != storageSQLite {
		return nil
	}
	x.trusted = x.whole && !x.unlisted
	spare, expected := int64(0), int64(0)
	for _, p := range x.rec.parts {
		n := int64(-1)
		if x.meta != nil {
			if n = x.meta.count(p.name); n < 0 && len(x.rec.parts) == len(x.meta.Paths) {
				n = p.db.spare // only their sum is told
			}
		}
		if p.db.spare < 0 || n != p.db.spare || p.db.lost > 0 || len(p.db.problems) > 0 {
			x.trusted = false
		}
		spare += p.db.spare
		expected += max(n, 0)
	}
	if x.trusted {
		sum := int64(0)
		for _, t := range x.meta.Topics {
			sum += t.Messages
		}
		x.trusted = sum == x.meta.Messages && (x.missing && spare < sum || spare == sum)
	}
	if x.trusted {
		return nil
	}
	for _, p := range x.rec.parts {
		if err := x.scanPart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (x *describer) scanPart(ctx context.Context, p *part) error {
	src := pipeline.Parts(x.src)[p.object]
	if p.zstd {
		s, err := x.f.spill(ctx, src)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", p.name, err)
		}
		defer s.Close()
		src = s
	}
	file, err := sqlite.Open(ctx, src)
	if err == nil {
		err = p.db.scan(ctx, file, x.f.block)
	}
	if err != nil {
		return fmt.Errorf("scanning %s: %w", p.name, err)
	}
	if p.db.zipped && x.meta == nil && !p.inner {
		p.inner = true
		x.problem("assumed_compression", "", false, "%s: all messages begin like zstd, and no metadata tells; they are unpacked", p.name)
	}
	return nil
}

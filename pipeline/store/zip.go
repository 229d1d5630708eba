package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zip"

	"github.com/drivemill/drivemill/pipeline"
)

// MemberMark stands between the key of a zip and the name of a member.
const MemberMark = "!"

// Limits of zips that are read.
const (
	maxMembers    = 1 << 20
	maxMemberName = 4096
	zipBlock      = 1 << 20 // of the directory that is read at once
	headerBlock   = 512     // of a member's header
	memberHead    = 16 << 10
)

// Zip is a zip archive whose members are read in place, by ranged reads of the
// archive: APPNOTE.TXT, with the 64 bit extensions; methods stored and deflate.
// It is safe for concurrent use.
type Zip struct {
	src     pipeline.Source
	members []pipeline.Object
	files   map[string]*zip.File
}

// OpenZip reads the directory at the end of a zip.
func OpenZip(ctx context.Context, src pipeline.Source) (*Zip, error) {
	obj := src.Object()
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: "zip", Offset: -1, Record: -1, Err: err}
	}
	in := &blockReader{ctx: context.WithoutCancel(ctx), src: src, block: zipBlock}
	r, err := zip.NewReader(in, obj.Size)
	if err != nil {
		if in.err != nil {
			return nil, in.err
		}
		return nil, fail(fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err))
	}
	if len(r.File) > maxMembers {
		return nil, fail(fmt.Errorf("%d members, at most %d are read: %w", len(r.File), maxMembers, pipeline.ErrLimit))
	}
	in.block = headerBlock // from now on, only the headers of members are read
	z := &Zip{src: src, files: make(map[string]*zip.File, len(r.File))}
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if len(f.Name) > maxMemberName {
			return nil, fail(fmt.Errorf("a member's name has %d bytes, at most %d are read: %w", len(f.Name), maxMemberName, pipeline.ErrLimit))
		}
		if z.files[f.Name] != nil {
			return nil, fail(fmt.Errorf("two members are called %q: %w", f.Name, pipeline.ErrCorrupt))
		}
		z.files[f.Name] = f
		z.members = append(z.members, pipeline.Object{
			URI: obj.URI + MemberMark + f.Name, Key: obj.Key + MemberMark + f.Name, Size: int64(f.UncompressedSize64),
			ETag:     fmt.Sprintf("crc32-%08x-%d", f.CRC32, f.UncompressedSize64),
			Modified: obj.Modified, // of the archive: members are as old as their author likes
		})
	}
	return z, nil
}

// Members lists the members in the order of the directory, without folders. The
// ETag of a member is made of its checksum and size: a zip that was published
// again has the same members where their content is the same.
func (z *Zip) Members() []pipeline.Object { return z.members }

// Open returns a member, which Members described.
func (z *Zip) Open(obj pipeline.Object) (pipeline.Source, error) {
	name, ok := strings.CutPrefix(obj.Key, z.src.Object().Key+MemberMark)
	f := z.files[name]
	if !ok || f == nil {
		return nil, fmt.Errorf("opening %s: the zip has no such member: %w", obj.URI, pipeline.ErrNotFound)
	}
	if want := fmt.Sprintf("crc32-%08x-%d", f.CRC32, f.UncompressedSize64); want != obj.ETag {
		return nil, fmt.Errorf("opening %s: %w: it is %s, and was %s", obj.URI, pipeline.ErrChanged, want, obj.ETag)
	}
	switch {
	case f.Flags&1 != 0:
		return nil, z.memberError(obj, fmt.Errorf("the member is encrypted: %w", pipeline.ErrUnsupported))
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return nil, z.memberError(obj, fmt.Errorf("compression method %d: %w", f.Method, pipeline.ErrUnsupported))
	}
	return &member{zip: z, file: f, obj: obj}, nil
}

func (z *Zip) memberError(obj pipeline.Object, err error) error {
	return &pipeline.DecodeError{Object: obj.URI, Format: "zip", Offset: -1, Record: -1, Err: err}
}

// SafeMember reports whether the name of a member stays inside a folder, and
// is not one of the files that tools of desktop systems leave in archives.
func SafeMember(name string) (ok bool, why string) {
	switch {
	case strings.HasPrefix(name, "/"), strings.Contains(name, "\\"), path.Clean(name) != name, name == "..", strings.HasPrefix(name, "../"):
		return false, "its name leads elsewhere"
	case strings.IndexFunc(name, isControl) >= 0:
		return false, "its name has control characters"
	case strings.HasPrefix(name, "__MACOSX/"), strings.Contains(name, "/__MACOSX/"):
		return false, "it was left by an archiver"
	case strings.HasPrefix(path.Base(name), "."):
		return false, "it is hidden"
	}
	return true, ""
}

// member is the source of one member.
type member struct {
	zip  *Zip
	file *zip.File
	obj  pipeline.Object

	mu    sync.Mutex
	front *stream // behind ReadAt: members are read from front to back
	head  []byte  // the first bytes, at most memberHead of them
}

// stream is a member on its way through ReadAt.
type stream struct {
	io.ReadCloser
	at     int64
	cancel context.CancelFunc
	stop   func() bool // ends the hold that the context of ReadAt has on it
}

func (s *stream) Close() error {
	s.stop()
	s.cancel()
	return s.ReadCloser.Close()
}

func (m *member) Object() pipeline.Object { return m.obj }

// Reader streams n bytes from off. What lies before off is unpacked and
// dropped; the checksum is verified by who reads from the beginning to the end.
// Whoever reads all goes on where those ended who looked at the beginning.
func (m *member) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off == 0 && (n < 0 || n >= m.obj.Size) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s := m.front; s != nil && s.at == int64(len(m.head)) && s.stop() {
			m.front = nil
			s.stop = context.AfterFunc(ctx, s.cancel)
			return &limitedReader{Reader: io.MultiReader(bytes.NewReader(m.head), s), Closer: s}, nil
		}
	}
	return m.open(ctx, off, n)
}

func (m *member) open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || off > m.obj.Size {
		return nil, m.zip.memberError(m.obj, fmt.Errorf("offset %d of %d bytes: %w", off, m.obj.Size, pipeline.ErrTruncated))
	}
	if n < 0 || n > m.obj.Size-off {
		n = m.obj.Size - off
	}
	start, err := m.dataOffset()
	if err != nil {
		return nil, err
	}
	stored := int64(m.file.CompressedSize64)
	if m.file.Method == zip.Store {
		if stored != m.obj.Size {
			return nil, m.zip.memberError(m.obj, fmt.Errorf("a stored member of %d bytes claims to unpack to %d: %w", stored, m.obj.Size, pipeline.ErrCorrupt))
		}
		r, err := m.zip.src.Reader(ctx, start+off, n)
		if err != nil {
			return nil, err
		}
		if off == 0 && n == m.obj.Size {
			return &memberReader{member: m, in: r, out: r, left: n, sum: crc32.NewIEEE()}, nil
		}
		return r, nil
	}
	in, err := m.zip.src.Reader(ctx, start, stored)
	if err != nil {
		return nil, err
	}
	src := &sourceErrors{r: in}
	r := &memberReader{member: m, in: in, src: src, out: flate.NewReader(src), left: m.obj.Size, sum: crc32.NewIEEE()}
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		r.Close()
		return nil, err
	}
	if off+n < m.obj.Size {
		return &limitedReader{Reader: io.LimitReader(r, n), Closer: r}, nil
	}
	return r, nil
}

type limitedReader struct {
	io.Reader
	io.Closer
}

// ReadAt reads on where the last one ended; going back behind the beginning,
// which is kept, starts anew.
func (m *member) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off >= m.obj.Size {
		return 0, io.EOF
	}
	kept := 0
	if off < int64(len(m.head)) {
		kept = copy(p, m.head[off:])
	}
	switch off += int64(kept); {
	case kept == len(p):
		return kept, nil
	case off == m.obj.Size:
		return kept, io.EOF
	}
	n, err := m.readOn(ctx, p[kept:], off)
	return kept + n, err
}

// readOn reads from the stream, which is opened where it has to be.
func (m *member) readOn(ctx context.Context, p []byte, off int64) (int, error) {
	if s := m.front; s == nil || s.at > off || !s.stop() {
		m.drop()
		s := &stream{at: off}
		var own context.Context
		own, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
		r, err := m.open(own, off, -1)
		if err != nil {
			s.cancel()
			return 0, err
		}
		s.ReadCloser, m.front = r, s
	}
	s := m.front
	s.stop = context.AfterFunc(ctx, s.cancel)
	if _, err := io.CopyN(io.Discard, s, off-s.at); err != nil {
		m.drop()
		return 0, err
	}
	n, err := io.ReadFull(s, p)
	if off == int64(len(m.head)) && s.at <= off {
		m.head = append(m.head, p[:min(n, memberHead-len(m.head))]...)
	}
	s.at = off + int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if err != nil || s.at == m.obj.Size {
		m.drop()
	}
	return n, err
}

func (m *member) drop() {
	if m.front != nil {
		m.front.Close()
		m.front = nil
	}
}

// dataOffset finds where the bytes of the member begin: behind its local
// header, whose length only that header tells.
func (m *member) dataOffset() (int64, error) {
	off, err := m.file.DataOffset()
	if err == nil {
		size := m.zip.src.Object().Size
		if off < 0 || off > size || int64(m.file.CompressedSize64) < 0 || int64(m.file.CompressedSize64) > size-off {
			return 0, m.zip.memberError(m.obj, fmt.Errorf("%d bytes at offset %d of a zip of %d: %w", m.file.CompressedSize64, off, size, pipeline.ErrTruncated))
		}
		return off, nil
	}
	return 0, m.zip.memberError(m.obj, fmt.Errorf("finding its bytes: %w: %w", pipeline.ErrCorrupt, err))
}

// memberReader unpacks a member and checks its size and sum.
type memberReader struct {
	member *member
	in     io.ReadCloser
	src    *sourceErrors // under the decompressor, nil without one
	out    io.Reader
	left   int64
	sum    interface {
		io.Writer
		Sum32() uint32
	}
	err error
}

func (r *memberReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.out.Read(p)
	if int64(n) > r.left {
		n, err = int(r.left), fmt.Errorf("it unpacks to more than the %d bytes it claims: %w", r.member.obj.Size, pipeline.ErrLimit)
	}
	r.left -= int64(n)
	r.sum.Write(p[:n])
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.left > 0, errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%d bytes are missing at its end: %w", r.left, pipeline.ErrTruncated)
	case errors.Is(err, io.EOF) && r.sum.Sum32() != r.member.file.CRC32:
		err = fmt.Errorf("its CRC-32 is %08x, the directory says %08x: %w", r.sum.Sum32(), r.member.file.CRC32, pipeline.ErrCorrupt)
	case errors.Is(err, io.EOF):
		r.err = err
		return n, err
	case r.src != nil && r.src.err != nil:
		r.err = r.src.err
		return n, r.err
	case !errors.Is(err, pipeline.ErrLimit) && r.src != nil:
		err = fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err)
	}
	r.err = r.member.zip.memberError(r.member.obj, err)
	return n, r.err
}

func (r *memberReader) Close() error { return r.in.Close() }

// blockReader is an io.ReaderAt over a source that keeps the last block: the
// directory of a zip is read in small pieces.
type blockReader struct {
	ctx   context.Context
	src   pipeline.Source
	block int
	mu    sync.Mutex
	from  int64
	data  []byte
	err   error
}

func (b *blockReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d: %w", off, pipeline.ErrCorrupt) // the archive claims it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for total < len(p) {
		at := off + int64(total)
		if at < b.from || at >= b.from+int64(len(b.data)) {
			if err := b.fill(at); err != nil {
				return total, err
			}
		}
		total += copy(p[total:], b.data[at-b.from:])
	}
	return total, nil
}

// fill reads the block around an offset: the end of a zip is read backwards.
func (b *blockReader) fill(at int64) error {
	size := b.src.Object().Size
	if at >= size {
		return io.EOF
	}
	block := int64(b.block)
	from := max(0, min(at, size-block))
	data := make([]byte, min(block, size-from))
	n, err := b.src.ReadAt(b.ctx, data, from)
	if err != nil && (!errors.Is(err, io.EOF) || n < len(data)) {
		b.err = err
		return err
	}
	b.from, b.data = from, data
	return nil
}

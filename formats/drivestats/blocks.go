package drivestats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	readSize   = 256 << 10 // of one read
	blockText  = 2 << 20   // most text of a block, the last line aside
	maxRecord  = 1 << 20   // longest record
	maxHeaders = 10_000    // most changes of the header in one file
	slack      = 16        // readable bytes behind the text, for loads of eight
)

// block is consecutive records that become one batch. Blocks are recycled.
type block struct {
	buf  []byte // the memory behind text, slack included
	text []byte // whole records, each with its end
	// ends of the records in text, where they are not the line ends: quotes hold
	// some of those, or lines end in different ways.
	ends []int32
	odd  bool
	// records counts empty lines and repeated headers too.
	records  int
	offset   int64 // of text in the file, decompressed
	line     int64 // number of the first line
	plan     *plan
	problems []pipeline.Problem
	lost     int64 // bytes that could not be read
	err      error // ends decoding after this block
	out      result
	done     chan struct{}
}

func (b *block) reset() {
	b.text, b.ends, b.odd, b.records = nil, b.ends[:0], false, 0
	b.problems, b.lost, b.err = nil, 0, nil
	b.out.reset()
}

// cutter cuts a file into blocks. Where it cuts depends on the text alone and
// not on how many bytes a read happens to return: at the first record end at
// which rows records or text bytes are reached, and before a header line that
// differs from the one before.
type cutter struct {
	in     *input
	eol    byte // of the first line; a carriage return may come before LF
	rows   int
	text   int
	plan   *plan
	replan func(*header) (*plan, []pipeline.Problem)

	offset  int64
	line    int64
	carry   []byte // read, and not part of a block yet
	err     error  // of the last read
	eof     bool
	damaged bool // and before its true end
	ended   bool
	headers int
}

// start reads the header line. It is nil for an empty file.
func (c *cutter) start() ([]byte, error) {
	c.line = 1
	var buf []byte
	for {
		i := bytes.IndexAny(buf, "\r\n")
		switch {
		case i >= 0 && (buf[i] == '\n' || i+1 < len(buf) || c.eof):
			c.eol = buf[i]
			n := i + 1
			if buf[i] == '\r' && n < len(buf) && buf[n] == '\n' {
				c.eol = '\n'
				n++
			}
			c.carry, c.offset, c.line = buf[n:], int64(n), 2
			return withoutMark(buf[:i]), nil
		case c.eof:
			c.eol, c.offset = '\n', int64(len(buf))
			if len(buf) == 0 {
				return nil, nil
			}
			return withoutMark(buf), nil
		case len(buf) > maxRecord:
			return nil, fmt.Errorf("the header is longer than %d bytes: %w", maxRecord, pipeline.ErrLimit)
		}
		var err error
		if buf, err = c.fill(buf); err != nil {
			return nil, err
		}
	}
}

// withoutMark drops the byte order mark that some editors put in front.
func withoutMark(line []byte) []byte { return bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) }

// fill reads on, as far as it always does, so that what is in memory does not
// depend on how the store hands out bytes.
func (c *cutter) fill(buf []byte) ([]byte, error) {
	if c.err != nil {
		return buf, c.err
	}
	n := len(buf)
	if need := n + readSize + slack; need > cap(buf) {
		buf = append(make([]byte, 0, max(need, 2*cap(buf))), buf...)
	}
	for m := 0; m < readSize; {
		k, err := c.in.Read(buf[n+m : n+readSize])
		m += k
		buf = buf[:n+m]
		if errors.Is(err, io.EOF) {
			c.eof = true
			break
		}
		if err != nil {
			// What came before it is good.
			if c.err = err; m == 0 {
				return buf, c.err
			}
			break
		}
	}
	return buf, nil
}

// next fills b with the next records. It returns io.EOF when there are none.
func (c *cutter) next(b *block) error {
	if c.ended {
		return io.EOF
	}
	b.reset()
	buf := append(b.buf[:0], c.carry...)
	c.carry = c.carry[:0]
	s := scan{cutter: c, block: b}
	for !s.run(buf) && b.err == nil && (!c.eof || s.end < len(buf)) {
		switch {
		case c.damaged: // a piece of a record
			b.lost = int64(len(buf) - s.end)
			buf = buf[:s.end]
		case c.eof && buf[len(buf)-1] != c.eol:
			buf = append(buf, c.eol)
		case c.eof || len(buf)-s.end > maxRecord:
			b.err = c.tooLong(buf[:s.end])
		default:
			var err error
			if buf, err = c.fill(buf); err != nil {
				c.fail(b, err)
			}
		}
	}
	c.finish(b, buf, s.end)
	return nil
}

// tooLong is the error for a record without end behind text.
func (c *cutter) tooLong(text []byte) error {
	return tooLong(c.line + int64(lineEnds(text)))
}

func tooLong(line int64) error {
	return fmt.Errorf("line %d is longer than %d bytes: %w", line, maxRecord, pipeline.ErrLimit)
}

// fail notes that the file can be read no further. Failures of the store end
// decoding; damage ends the file early, and what came before is good.
func (c *cutter) fail(b *block, err error) {
	if !damaged(err) {
		b.err = err
		return
	}
	kind := "corrupt"
	if errors.Is(err, pipeline.ErrTruncated) {
		kind = "truncated"
	}
	b.problems = append(b.problems, pipeline.Problem{Kind: kind, Table: TableName, Offset: -1, Detail: err.Error(), Loses: true})
	c.eof, c.damaged = true, true
}

// finish makes buf[:end] the text of b, or less where the header changes in
// it, and keeps the rest for the next block.
func (c *cutter) finish(b *block, buf []byte, end int) {
	buf = slices.Grow(buf, slack)
	start := 0
	for b.err == nil {
		p := c.findHeader(b, buf, start, end)
		if p < 0 {
			break
		}
		if p > start {
			end = p
			b.shorten(buf[start:end], start, end, c.eol)
			break
		}
		// The header changes right here: its line belongs to no block.
		n := start + lineEnd(buf[start:end])
		if c.change(b, buf[start:n]); b.err != nil {
			end = start
			b.shorten(nil, start, end, c.eol)
			break
		}
		c.offset, c.line = c.offset+int64(n-start), c.line+1
		start = n
		b.shorten(buf[start:end], start, end, c.eol)
	}
	for i := range b.ends {
		b.ends[i] -= int32(start)
	}
	b.buf, b.text = buf, buf[start:end]
	b.plan, b.offset, b.line = c.plan, c.offset, c.line
	c.offset += int64(end - start)
	if b.odd {
		c.line += int64(lineEnds(b.text))
	} else {
		c.line += int64(b.records)
	}
	c.carry = append(c.carry, buf[end:]...)
	c.ended = b.err != nil || c.eof && len(c.carry) == 0
}

// shorten counts the records again when the text begins later or ends earlier
// than they were counted for. Record ends count from the start of the memory.
func (b *block) shorten(text []byte, start, end int, eol byte) {
	if !b.odd {
		b.records = bytes.Count(text, []byte{eol})
		return
	}
	b.ends = slices.DeleteFunc(b.ends, func(e int32) bool { return int(e) <= start || int(e) > end })
	b.records = len(b.ends)
}

// findHeader returns where in buf[start:end] the first header line lies that
// differs from the one in force, or -1. Lines that repeat it are left to the
// parser.
func (c *cutter) findHeader(b *block, buf []byte, start, end int) int {
	h := c.plan.header
	for p := start; ; {
		i := bytes.Index(buf[p:end], h.begin)
		if i < 0 {
			return -1
		}
		p += i
		atStart := p == start || buf[p-1] == '\n' || buf[p-1] == '\r'
		if atStart && b.odd && p > start {
			_, atStart = slices.BinarySearch(b.ends, int32(p))
		}
		if atStart && !h.repeatedBy(buf[p:p+lineEnd(buf[p:end])]) {
			return p
		}
		p++
	}
}

// repeatedBy reports whether a line, with its end, is the header again.
func (h *header) repeatedBy(line []byte) bool {
	return bytes.Equal(bytes.TrimRight(line, "\r\n"), h.line)
}

// change follows a header line in the middle of the file.
func (c *cutter) change(b *block, line []byte) {
	h, err := parseHeader(bytes.TrimRight(line, "\r\n"))
	if c.headers++; err == nil && c.headers > maxHeaders {
		err = fmt.Errorf("the header changes more than %d times: %w", maxHeaders, pipeline.ErrLimit)
	}
	if err != nil {
		b.err = fmt.Errorf("line %d: %w", c.line, err)
		return
	}
	b.out.repeated++
	var problems []pipeline.Problem
	c.plan, problems = c.replan(h)
	b.problems = append(b.problems, problems...)
}

// scan finds the records of a block while it is being read.
type scan struct {
	*cutter
	block *block
	end   int // of the last record found
}

// run looks at buf and reports whether the block is full.
func (s *scan) run(buf []byte) bool {
	b := s.block
	if !b.odd && isOdd(buf[s.end:], s.eol) {
		// From here on each record end is found and kept.
		b.odd, b.records, s.end = true, 0, 0
	}
	if b.odd {
		for b.records < s.rows && s.end < s.text {
			last := s.eof || len(buf)-s.end >= maxRecord
			n := recordEnd(buf[s.end:min(len(buf), s.end+maxRecord)], last)
			if n == 0 {
				return false
			}
			s.end += n
			b.records++
			b.ends = append(b.ends, int32(s.end))
		}
		return true
	}
	window := buf[s.end:max(s.end, min(len(buf), s.text))]
	if n := bytes.Count(window, []byte{s.eol}); b.records+n < s.rows {
		b.records += n
		s.end += bytes.LastIndexByte(window, s.eol) + 1
	} else {
		for ; b.records < s.rows; b.records++ {
			s.end += bytes.IndexByte(buf[s.end:], s.eol) + 1
		}
		return true
	}
	if len(buf) < s.text || s.end >= s.text {
		return s.end >= s.text
	}
	i := bytes.IndexByte(buf[s.text:], s.eol)
	if i < 0 {
		return false
	}
	s.end = s.text + i + 1
	b.records++
	return true
}

// isOdd reports whether there are quotes in text, or lines that do not end as
// the first one does: some files have a few that end in CR alone. A carriage
// return at the end of text does not tell yet.
func isOdd(text []byte, eol byte) bool {
	if bytes.IndexByte(text, '"') >= 0 {
		return true
	}
	if eol == '\r' {
		return bytes.IndexByte(text, '\n') >= 0
	}
	for p := 0; ; {
		i := bytes.IndexByte(text[p:], '\r')
		if p += i + 1; i < 0 || p == len(text) {
			return false
		}
		if text[p] != '\n' {
			return true
		}
	}
}

// lineEnd returns the length of the line at the start of b, its end included.
func lineEnd(b []byte) int {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0:
		return len(b)
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return i + 1
}

// lineEnds counts the line ends of text: LF, CR LF, and CR alone.
func lineEnds(text []byte) int {
	return bytes.Count(text, []byte{'\n'}) + bytes.Count(text, []byte{'\r'}) - bytes.Count(text, []byte("\r\n"))
}

// recordEnd returns the length of the record at the start of b, its line end
// included, or 0 when more bytes are needed to tell. A line end inside quotes
// belongs to the cell. A record with broken quotes, or with quotes that do not
// end in b although nothing comes after it, ends with its first line.
func recordEnd(b []byte, last bool) int {
	for p := 0; p < len(b); p++ { // each time at the start of a cell
		if b[p] == '"' {
			end, ok := closing(b, p)
			if end < 0 && !last {
				return 0
			}
			if end < 0 || !ok {
				return wholeLine(b, last)
			}
			p = end
		}
		for p < len(b) && b[p] != ',' && b[p] != '\n' && b[p] != '\r' {
			p++
		}
		if p < len(b) && b[p] != ',' {
			if b[p] == '\r' && p+1 == len(b) && !last {
				return 0
			}
			return p + lineEnd(b[p:])
		}
	}
	return 0
}

// wholeLine is lineEnd for a line that may go on behind b.
func wholeLine(b []byte, last bool) int {
	n := lineEnd(b)
	if b[n-1] != '\n' && (b[n-1] != '\r' || n == len(b) && !last) {
		return 0
	}
	return n
}

// closing finds the end of the quoted cell at p: the index behind its closing
// quote, -1 where there is none. What follows must be the end of the cell.
func closing(b []byte, p int) (end int, ok bool) {
	for p++; ; p++ {
		i := bytes.IndexByte(b[p:], '"')
		if i < 0 {
			return -1, false
		}
		p += i + 1
		if p == len(b) {
			return -1, false
		}
		if b[p] != '"' {
			return p, b[p] == ',' || b[p] == '\r' || b[p] == '\n'
		}
	}
}

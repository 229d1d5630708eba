package mdf4

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	idSize     = 64
	hdOffset   = 64
	minVersion = 400
	maxVersion = 430
)

// Standard flags of an unfinalised file (id_unfin_flags) that change how it is
// read. The others concern counters of sample reductions, and sizes of groups of
// variable length, which are not relied on.
const (
	unfinCycles     = 1 << 0 // cycle counters of CG and CA
	unfinData       = 1 << 2 // length of the last DT
	unfinReduced    = 1 << 3 // length of the last RD
	unfinList       = 1 << 4 // the last DL of each chain
	unfinVLSDOffset = 1 << 6 // offsets of variable length values
	unfinVLSCOffset = 1 << 8 // as 6, for VLSC
)

// ident is the IDBLOCK.
type ident struct {
	finalised bool
	version   int // 410
	program   string
	flags     uint16 // unfinalised, of the standard
	custom    uint16 // unfinalised, of the tool
}

func (i ident) versionText() string { return fmt.Sprintf("%d.%02d", i.version/100, i.version%100) }

// unfinished reports whether the file is unfinalised in the way of flag.
func (i ident) unfinished(flag uint16) bool { return !i.finalised && i.flags&flag != 0 }

func isMDF(head []byte) (finalised, ok bool) {
	if len(head) < idSize {
		return false, false
	}
	if bytes.HasPrefix(head, []byte("MDF     ")) {
		return true, true
	}
	return false, bytes.HasPrefix(head, []byte("UnFinMF "))
}

// parseIdent reads the IDBLOCK and refuses other revisions by name.
func parseIdent(b []byte) (ident, error) {
	var id ident
	var ok bool
	if id.finalised, ok = isMDF(b); !ok {
		return id, fmt.Errorf("this is no MDF file: it begins with %q: %w", b[:min(8, len(b))], pipeline.ErrCorrupt)
	}
	id.version = int(binary.LittleEndian.Uint16(b[28:]))
	id.program = printable(b[16:24])
	id.flags, id.custom = binary.LittleEndian.Uint16(b[60:]), binary.LittleEndian.Uint16(b[62:])
	if id.version < minVersion {
		v := id.version
		if binary.LittleEndian.Uint16(b[24:]) != 0 { // MDF 3 files of big-endian machines
			v = int(binary.BigEndian.Uint16(b[28:]))
		}
		if v >= minVersion || v < 200 {
			return id, fmt.Errorf("MDF %q is not supported: it is none of 4.00 to 4.30: %w", printable(b[8:16]), pipeline.ErrUnsupported)
		}
		return id, fmt.Errorf("MDF %d.%02d is not supported, only MDF 4.00 to 4.30: %w", v/100, v%100, pipeline.ErrUnsupported)
	}
	if id.version > maxVersion {
		return id, fmt.Errorf("MDF %s is not supported, only MDF 4.00 to 4.30: %w", id.versionText(), pipeline.ErrUnsupported)
	}
	return id, nil
}

// printable is a padded text field.
func printable(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.TrimSpace(decodeText(b))
}

// fileHeader is the HDBLOCK.
type fileHeader struct {
	start      int64 // ns; of the epoch in UTC, or of the wall clock where local
	local      bool
	zoned      bool // tz and dst are valid
	tz, dst    int16
	class      uint8
	angle      float64
	distance   float64
	hasAngle   bool
	hasDist    bool
	firstDG    int64
	firstFH    int64
	firstCH    int64
	firstAT    int64
	firstEV    int64
	comment    string
	properties []property
}

func (f *file) readHeader(ctx context.Context) error {
	b, err := f.load(ctx, hdOffset, 1<<10, "HD")
	if err != nil {
		return fmt.Errorf("reading the header: %w", err)
	}
	h := &f.hd
	h.start = int64(b.u64(0))
	h.tz, h.dst = int16(b.u16(8)), int16(b.u16(10))
	flags := b.u8(12)
	h.local, h.zoned = flags&1 != 0, flags&2 != 0 && flags&1 == 0
	h.class = b.u8(13)
	h.hasAngle, h.hasDist = b.u8(14)&1 != 0, b.u8(14)&2 != 0
	h.angle, h.distance = b.f64(16), b.f64(24)
	h.firstDG, h.firstFH, h.firstCH, h.firstAT, h.firstEV = b.link(0), b.link(1), b.link(2), b.link(3), b.link(4)
	if h.comment, h.properties, err = f.comment(ctx, b.link(5)); err != nil {
		return err
	}
	return nil
}

package points

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Columns of a sensor_msgs/PointCloud2.
var cloudColumns = []want{
	{"height", arrow.UINT32}, {"width", arrow.UINT32}, {"fields", arrow.LIST}, {"is_bigendian", arrow.BOOL},
	{"point_step", arrow.UINT32}, {"row_step", arrow.UINT32}, {"data", arrow.BINARY},
}

// spentByCloud are the columns that say nothing more once a cloud is unpacked.
var spentByCloud = []string{"fields", "is_bigendian", "point_step", "row_step", "data"}

func (s *stage) bindCloud(t *pipeline.Table) (*binding, error) {
	b := &binding{}
	for _, f := range s.fields {
		b.made = append(b.made, arrow.Field{Name: f.name, Type: f.typ})
		b.values = append(b.values, f.typ)
	}
	spent := append([]string{}, spentByCloud...)
	for _, policy := range []pipeline.PayloadPolicy{pipeline.ReferPayloads, pipeline.DropPayloads} {
		for _, f := range pipeline.PayloadFields("data", policy) {
			spent = append(spent, f.Name)
		}
	}
	from := append([]string{"height", "width"}, spentByCloud...)
	at := make([]int, len(cloudColumns))
	for i, c := range cloudColumns {
		at[i] = t.Column(c.name)
	}
	b.open = func(rec arrow.Record) (unpacker, error) { return openCloud(s.fields, rec, at) }
	return s.finish(t, b, spent, from)
}

// clouds unpacks the clouds of one batch.
type clouds struct {
	want []field
	cols []arrow.Array // by cloudColumns

	height, width, pointStep, rowStep *arrow.Uint32
	bigEndian                         *arrow.Bool
	data                              *arrow.Binary
	list                              *arrow.List
	name                              *arrow.String
	offset, count                     *arrow.Uint32
	datatype                          *arrow.Uint8

	// The cloud at hand.
	h, w, rows, step int
	offsets          []int
	bytes            []byte
	big              bool
}

func openCloud(want []field, rec arrow.Record, at []int) (*clouds, error) {
	c := &clouds{want: want, offsets: make([]int, len(want))}
	for _, i := range at {
		c.cols = append(c.cols, rec.Column(i))
	}
	var ok [11]bool
	c.height, ok[0] = c.cols[0].(*arrow.Uint32)
	c.width, ok[1] = c.cols[1].(*arrow.Uint32)
	c.list, ok[2] = c.cols[2].(*arrow.List)
	c.bigEndian, ok[3] = c.cols[3].(*arrow.Bool)
	c.pointStep, ok[4] = c.cols[4].(*arrow.Uint32)
	c.rowStep, ok[5] = c.cols[5].(*arrow.Uint32)
	c.data, ok[6] = c.cols[6].(*arrow.Binary)
	if ok[2] {
		if st, is := c.list.ListValues().(*arrow.Struct); is {
			for i, f := range st.DataType().(*arrow.StructType).Fields() {
				switch f.Name {
				case "name":
					c.name, ok[7] = st.Field(i).(*arrow.String)
				case "offset":
					c.offset, ok[8] = st.Field(i).(*arrow.Uint32)
				case "datatype":
					c.datatype, ok[9] = st.Field(i).(*arrow.Uint8)
				case "count":
					c.count, ok[10] = st.Field(i).(*arrow.Uint32)
				}
			}
		}
	}
	for i, is := range ok {
		if !is {
			name := "fields"
			if i < len(cloudColumns) {
				name = cloudColumns[i].name
			}
			return nil, fmt.Errorf("column %s is not that of a PointCloud2: %w", name, pipeline.ErrSchema)
		}
	}
	return c, nil
}

var errNull = errors.New("the column is null")

// sweep checks every length of cloud i before append relies on it.
func (c *clouds) sweep(i int) (points int, reason, column string, err error) {
	for k, a := range c.cols {
		if a.IsNull(i) {
			return 0, "null_cell", cloudColumns[k].name, fmt.Errorf("%s: %w", cloudColumns[k].name, errNull)
		}
	}
	h, w := uint64(c.height.Value(i)), uint64(c.width.Value(i))
	step, rowStep := uint64(c.pointStep.Value(i)), uint64(c.rowStep.Value(i))
	c.bytes = c.data.Value(i)
	switch size := uint64(len(c.bytes)); {
	case rowStep*h != size: // of two 32 bit numbers: does not overflow
		return 0, "cloud_size", "data", fmt.Errorf("row_step %d times height %d is %d bytes, data has %d: %w", rowStep, h, rowStep*h, size, pipeline.ErrCorrupt)
	case h > 0 && step*w > rowStep:
		return 0, "cloud_size", "row_step", fmt.Errorf("point_step %d times width %d is more than row_step %d: %w", step, w, rowStep, pipeline.ErrCorrupt)
	}
	if w == 0 || h == 0 {
		// There is nothing to find fields in, and some drivers declare none.
		c.h, c.w = 0, 0
		return 0, "", "", nil
	}
	from, to := c.list.ValueOffsets(i)
	for k, f := range c.want {
		at := -1
		for j := int(from); j < int(to); j++ {
			if c.name.Value(j) == f.name {
				at = j
				break
			}
		}
		switch {
		case at < 0:
			return 0, "field_missing", f.name, fmt.Errorf("the cloud has no field %s: %w", f.name, pipeline.ErrSchema)
		case c.datatype.Value(at) != f.code:
			return 0, "field_type", f.name, fmt.Errorf("field %s is declared as %s, the cloud says datatype %d: %w", f.name, f.datatype.name, c.datatype.Value(at), pipeline.ErrSchema)
		case c.count.Value(at) != 1:
			return 0, "field_count", f.name, fmt.Errorf("field %s has %d elements a point, not 1: %w", f.name, c.count.Value(at), pipeline.ErrUnsupported)
		case uint64(c.offset.Value(at))+uint64(f.width) > step:
			return 0, "field_offset", f.name, fmt.Errorf("field %s at %d leaves the point of %d bytes: %w", f.name, c.offset.Value(at), step, pipeline.ErrCorrupt)
		}
		c.offsets[k] = int(c.offset.Value(at))
	}
	// A point has a byte at least, so that there are no more than data has.
	c.h, c.w, c.rows, c.step = int(h), int(w), int(rowStep), int(step)
	c.big = c.bigEndian.Value(i)
	return c.h * c.w, "", "", nil
}

func (c *clouds) append(out []sink) {
	n := c.h * c.w
	if n == 0 {
		return
	}
	for k := range c.want {
		width := c.want[k].width
		dst := out[k].extend(n)
		for r := range c.h {
			row := c.bytes[r*c.rows+c.offsets[k]:]
			stride(dst[r*c.w*width:(r+1)*c.w*width], row, c.step, width)
		}
		if c.big {
			swap(dst, width)
		}
	}
}

// stride copies the values of one field: those at 0, step, 2*step, ... of src.
// The last one lies inside src.
func stride(dst, src []byte, step, width int) {
	n := len(dst) / width
	if step == width {
		copy(dst, src[:n*width])
		return
	}
	switch width {
	case 1:
		for i := range n {
			dst[i] = src[i*step]
		}
	case 2:
		for i := range n {
			binary.LittleEndian.PutUint16(dst[2*i:], binary.LittleEndian.Uint16(src[i*step:]))
		}
	case 4:
		for i := range n {
			binary.LittleEndian.PutUint32(dst[4*i:], binary.LittleEndian.Uint32(src[i*step:]))
		}
	case 8:
		for i := range n {
			binary.LittleEndian.PutUint64(dst[8*i:], binary.LittleEndian.Uint64(src[i*step:]))
		}
	}
}

// swap reverses the bytes of each value.
func swap(b []byte, width int) {
	switch width {
	case 2:
		for i := 0; i < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	case 4:
		for i := 0; i < len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
		}
	case 8:
		for i := 0; i < len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], binary.BigEndian.Uint64(b[i:]))
		}
	}
}

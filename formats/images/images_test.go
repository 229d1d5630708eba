package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/store"
)

func config() *Config {
	return &Config{Format: "png", Quality: 90, Bayer: "refuse"}
}

// pixels decodes what was written.
func pixels(t *testing.T, c *Config, r *raw) image.Image {
	t.Helper()
	img, _, why := c.image(r)
	if why != nil {
		t.Fatalf("%s: %s: %v", r.encoding, why.name, why.err)
	}
	data, ext, why := c.encode(img)
	if why != nil {
		t.Fatalf("%s: %s: %v", r.encoding, why.name, why.err)
	}
	var out image.Image
	var err error
	if ext == "png" {
		out, err = png.Decode(bytes.NewReader(data))
	} else {
		out, err = jpeg.Decode(bytes.NewReader(data))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every encoding comes back as the pixels that it means, with padding behind
// each line.
func TestEncodings(t *testing.T) {
	const w, h, pad = 3, 2, 5
	for _, encoding := range plain {
		for _, big := range []bool{false, true} {
			n := int(bytesPerPixel(encoding))
			r := &raw{width: w, height: h, step: uint32(w*n + pad), encoding: encoding, big: big}
			r.data = make([]byte, int(r.step)*h)
			for i := range r.data {
				r.data[i] = byte(37*i + 11)
			}
			img := pixels(t, config(), r)
			for y := range h {
				for x := range w {
					p := r.data[y*int(r.step)+x*n:]
					var want color.Color
					switch encoding {
					case "mono8", "8UC1":
						want = color.Gray{p[0]}
					case "mono16", "16UC1":
						v := binary.LittleEndian.Uint16(p)
						if big {
							v = binary.BigEndian.Uint16(p)
						}
						want = color.Gray16{v}
					case "rgb8":
						want = color.NRGBA{p[0], p[1], p[2], 255}
					case "bgr8":
						want = color.NRGBA{p[2], p[1], p[0], 255}
					case "rgba8":
						want = color.NRGBA{p[0], p[1], p[2], p[3]}
					case "bgra8":
						want = color.NRGBA{p[2], p[1], p[0], p[3]}
					}
					if got := color.NRGBA64Model.Convert(img.At(x, y)); got != color.NRGBA64Model.Convert(want) {
						t.Errorf("%s at %d, %d: %v, want %v", encoding, x, y, got, want)
					}
				}
			}
		}
	}
}

func TestBayer(t *testing.T) {
	// A scene of one colour: each sample holds that of its filter.
	want := map[byte]byte{'r': 200, 'g': 90, 'b': 15}
	for encoding := range bayer {
		cells := strings.TrimSuffix(strings.TrimPrefix(encoding, "bayer_"), "8")
		for _, size := range [][2]int{{4, 4}, {3, 3}, {5, 2}} {
			r := &raw{width: uint32(size[0]), height: uint32(size[1]), step: uint32(size[0]), encoding: encoding}
			for y := range size[1] {
				for x := range size[0] {
					r.data = append(r.data, want[cells[y%2*2+x%2]])
				}
			}
			c := config()
			if _, _, why := c.image(r); why == nil || why.name != "bayer_undeclared" {
				t.Errorf("%s is not refused: %v", encoding, why)
			}
			c.Bayer = "nearest"
			img := pixels(t, c, r)
			for y := range size[1] {
				for x := range size[0] {
					if got := color.NRGBAModel.Convert(img.At(x, y)); got != (color.NRGBA{200, 90, 15, 255}) {
						t.Errorf("%s %v at %d, %d: %v", encoding, size, x, y, got)
					}
				}
			}
			c.Bayer = "gray"
			if got := pixels(t, c, r).At(1, 1); got != (color.Gray{r.data[size[0]+1]}) {
				t.Errorf("%s as gray: %v", encoding, got)
			}
		}
	}
}

func floats(v ...float32) []byte {
	var out []byte
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func TestDepth(t *testing.T) {
	nan := float32(math.NaN())
	r := &raw{width: 3, height: 1, step: 12, encoding: "32FC1", data: floats(1.5, nan, 65.535)}
	c := config()
	c.DepthScale = 1000
	img := pixels(t, c, r).(*image.Gray16)
	for x, want := range []uint16{1500, 0, 65535} {
		if got := img.Gray16At(x, 0).Y; got != want {
			t.Errorf("pixel %d: %d, want %d", x, got, want)
		}
	}
	for _, v := range []float32{-1, 65.54, float32(math.Inf(1))} {
		r.data = floats(v, 0, 0)
		if _, _, why := c.image(r); why == nil || why.name != "depth_range" {
			t.Errorf("%v: %v", v, why)
		}
	}
}

func TestRefusals(t *testing.T) {
	for want, r := range map[string]*raw{
		"image_encoding":   {width: 1, height: 1, step: 2, encoding: "yuv422", data: make([]byte, 2)},
		"image_empty":      {width: 0, height: 1, step: 0, encoding: "mono8"},
		"image_size":       {width: 2, height: 2, step: 2, encoding: "mono8", data: make([]byte, 5)},
		"image_size step":  {width: 2, height: 2, step: 2, encoding: "rgb8", data: make([]byte, 4)},
		"image_size large": {width: math.MaxUint32, height: math.MaxUint32, step: 1, encoding: "mono8", data: make([]byte, 4)},
		"depth_undeclared": {width: 1, height: 1, step: 4, encoding: "32FC1", data: make([]byte, 4)},
	} {
		if _, _, why := config().image(r); why == nil || why.name != strings.Fields(want)[0] {
			t.Errorf("%s: %v", want, why)
		}
	}
	c := config()
	c.Format = "jpeg"
	for want, encoding := range map[string]string{"jpeg_depth": "mono16", "jpeg_alpha": "rgba8"} {
		img, _, _ := c.image(&raw{width: 1, height: 1, step: 4, encoding: encoding, data: make([]byte, 4)})
		if _, _, why := c.encode(img); why == nil || why.name != want {
			t.Errorf("%s: %v", encoding, why)
		}
	}
	if got := pixels(t, c, &raw{width: 8, height: 8, step: 8, encoding: "mono8", data: bytes.Repeat([]byte{100}, 64)}).At(3, 3); got != (color.Gray{100}) {
		t.Errorf("JPEG: %v", got)
	}
}

// pngImage is one gray pixel.
func pngImage() []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, 2, 1))); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestCompressed(t *testing.T) {
	picture := pngImage()
	depth := append(make([]byte, depthHeader), picture...)
	for _, tc := range []struct {
		format string
		data   []byte
		want   string // reason, or the end of the name
	}{
		{"png", picture, "png"}, {"jpeg", picture, "png"}, {"16UC1; compressedDepth png", depth, "png"}, {"16UC1; compressedDepth", depth, "png"},
		{"32FC1; compressedDepth png", depth, "compressed_format"}, {"16UC1; compressedDepth rvl", depth, "compressed_format"},
		{"16UC1; compressedDepth", picture[:20], "compressed_signature"}, {"16UC1; compressedDepth", nil, "compressed_signature"},
		{"png", nil, "image_empty"}, {"png", picture[:20], "compressed_header"}, {"jpeg", []byte("\xff\xd8\xff\xe0\x00"), "compressed_header"},
		{"h264", []byte{0, 0, 0, 1, 0x67}, "compressed_signature"},
	} {
		body, ext, size, why := compressed(tc.format, tc.data)
		switch {
		case why != nil && why.name != tc.want, why == nil && ext != tc.want:
			t.Errorf("%s of %d bytes: %q, %v; want %s", tc.format, len(tc.data), ext, why, tc.want)
		case why == nil && (!bytes.Equal(body, picture) || size.Width != 2 || size.Height != 1):
			t.Errorf("%s: %d bytes, %d x %d", tc.format, len(body), size.Width, size.Height)
		}
	}
}

func FuzzCompressed(f *testing.F) {
	f.Add("png", pngImage())
	f.Add("16UC1; compressedDepth png", append(make([]byte, depthHeader), pngImage()...))
	f.Add("jpeg", []byte("\xff\xd8\xff\xe0\x00\x10JFIF"))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		body, ext, _, why := compressed(format, data)
		if why == nil && (ext == "" || !bytes.HasSuffix(data, body)) || why != nil && (why.name == "" || why.err == nil) {
			t.Errorf("%q: %d bytes, %v", ext, len(body), why)
		}
	})
}

func FuzzImage(f *testing.F) {
	for _, e := range append(slices.Clone(plain), "bayer_rggb8", "32FC1") {
		f.Add(e, uint32(2), uint32(2), uint32(8), make([]byte, 16))
	}
	f.Fuzz(func(t *testing.T, encoding string, w, h, step uint32, data []byte) {
		c := config()
		c.Bayer, c.DepthScale = "nearest", 1
		img, _, why := c.image(&raw{width: w, height: h, step: step, encoding: encoding, data: data})
		if why == nil && img.Bounds() != image.Rect(0, 0, int(w), int(h)) {
			t.Errorf("%v of %d x %d", img.Bounds(), w, h)
		}
	})
}

type env struct {
	pipeline.Env
	store pipeline.Store
}

func (e env) OpenStore(context.Context, string) (pipeline.Store, error) { return e.store, nil }

var images = &pipeline.Table{Name: "/cam", Schema: arrow.NewSchema([]arrow.Field{
	{Name: "ts", Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)},
	{Name: "header.frame_id", Type: arrow.StringType, Nullable: true},
	{Name: "format", Type: arrow.StringType, Nullable: true}, {Name: "data", Type: arrow.BinaryType, Nullable: true},
}, nil)}

// frames are n rows; every third has no picture.
func frames(mem arrow.Allocator, n int) arrow.Record {
	picture := pngImage()
	var cols []*column.Column
	for _, f := range images.Schema.Fields() {
		cols = append(cols, column.New(mem, f.Type))
	}
	for i := range n {
		cols[0].AppendInt64(int64(i) * 1e9)
		cols[1].AppendString("camera")
		cols[2].AppendString("png")
		if i%3 == 2 {
			cols[3].AppendBytes([]byte("garbage"))
		} else {
			cols[3].AppendBytes(picture)
		}
	}
	var arrays []arrow.Array
	for _, c := range cols {
		a := c.Finish()
		defer a.Release()
		arrays = append(arrays, a)
	}
	return arrow.NewRecord(images.Schema, arrays, int64(n))
}

func open(t *testing.T, st pipeline.Store, mem arrow.Allocator, reject func(pipeline.BadRow) error) (pipeline.SinkWriter, *pipeline.SinkBinding) {
	t.Helper()
	s, err := Spec().New(t.Context(), config(), env{store: st})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind([]*pipeline.Table{images})
	if err != nil {
		t.Fatal(err)
	}
	w, err := b.Open(t.Context(), pipeline.SinkOptions{Allocator: mem, Workers: 3, Slot: "0123456789abcdef", Revision: map[string]string{"cam": "0123456789ab"}, DriveDate: "2026-03-02", Reject: reject})
	if err != nil {
		t.Fatal(err)
	}
	return w, b
}

func keys(t *testing.T, st pipeline.Store) (out []string) {
	t.Helper()
	if err := st.List(t.Context(), "", func(o pipeline.Object) error { out = append(out, o.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Nothing is visible before Publish; then there is all that was told. Batches
// make no difference, and a refused frame leaves a gap in the numbers.
func TestWriter(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var want []pipeline.File
	for _, batch := range []int{10, 1, 4} {
		st, err := store.Open(t.Context(), fmt.Sprintf("mem://images-%d", batch))
		if err != nil {
			t.Fatal(err)
		}
		var bad []int64
		w, b := open(t, st, mem, func(r pipeline.BadRow) error {
			if r.Reason != "compressed_signature" || r.Err == nil {
				t.Errorf("%+v", r)
			}
			bad = append(bad, r.Record)
			return nil
		})
		if !slices.Equal(b.Tables[0].Bytes, []pipeline.ColumnRef{{Table: images, Column: "data"}}) {
			t.Errorf("bytes of %v", b.Tables[0].Bytes)
		}
		var acct pipeline.Account
		rec := frames(mem, 10)
		for from := 0; from < 10; from += batch {
			part := rec.NewSlice(int64(from), int64(min(from+batch, 10)))
			if err := w.Write(t.Context(), &pipeline.Batch{Table: images, Record: part, Origin: pipeline.Origin{First: int64(from)}}, &acct); err != nil {
				t.Fatal(err)
			}
		}
		rec.Release()
		files, err := w.Finish(t.Context(), &acct)
		if err != nil {
			t.Fatal(err)
		}
		if got := keys(t, st); len(got) > 0 {
			t.Errorf("visible before Publish: %v", got)
		}
		if err := w.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		const dir = "cam_objects/drive_date=2026-03-02/0123456789abcdef-0123456789ab/"
		got := keys(t, st)
		wantKeys := []string{"cam/drive_date=2026-03-02/0123456789abcdef-0123456789ab-00000.parquet"}
		list := sha256.New()
		for _, n := range []int{0, 1, 3, 4, 6, 7, 9} {
			name := fmt.Sprintf("%012d.png", n)
			wantKeys = append(wantKeys, dir+name)
			fmt.Fprintf(list, "%x  %s\n", sha256.Sum256(pngImage()), name)
		}
		if !slices.Equal(got, wantKeys) || !slices.Equal(bad, []int64{2, 5, 8}) || acct.Rejected["compressed_signature"] != 3 {
			t.Errorf("keys %v, bad %v, %+v", got, bad, acct)
		}
		if len(files) != 2 || files[0].Rows != 7 || files[1].Key != dir || files[1].Objects != 7 || files[1].Rows != 0 || files[1].SHA256 != hex.EncodeToString(list.Sum(nil)) {
			t.Errorf("files %+v", files)
		}
		if want == nil {
			want = files
		}
		for i := range files {
			if files[i].SHA256 != want[i].SHA256 {
				t.Errorf("batches of %d: %s differs", batch, files[i].Key)
			}
		}
	}
}

func TestAbort(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	st, err := store.Open(t.Context(), "mem://images-abort")
	if err != nil {
		t.Fatal(err)
	}
	for _, finish := range []bool{false, true} {
		w, _ := open(t, st, mem, func(pipeline.BadRow) error { return nil })
		var acct pipeline.Account
		if err := w.Write(t.Context(), &pipeline.Batch{Table: images, Record: frames(mem, 4)}, &acct); err != nil {
			t.Fatal(err)
		}
		if finish {
			if _, err := w.Finish(t.Context(), &acct); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, st); len(got) > 0 {
			t.Errorf("left behind: %v", got)
		}
	}
}

// A frame of a megapixel in RGB.
func BenchmarkEncode(b *testing.B) {
	r := &raw{width: 1024, height: 1024, step: 3072, encoding: "rgb8", data: make([]byte, 3<<20)}
	for i := range r.data {
		r.data[i] = byte(i/3%1024/4 + i/3072/8)
	}
	for _, format := range []string{"png", "jpeg"} {
		b.Run(format, func(b *testing.B) {
			c := config()
			c.Format = format
			b.SetBytes(int64(len(r.data)))
			b.ReportAllocs()
			for b.Loop() {
				img, _, why := c.image(r)
				if why != nil {
					b.Fatal(why.err)
				}
				if data, _, why := c.encode(img); why != nil || len(data) == 0 {
					b.Fatal(why)
				}
			}
		})
	}
}

package wire_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// recordings returns the files of the conformance suite with an extension.
func recordings(t *testing.T, ext string) []string {
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set: real recordings are not read")
	}
	var files []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ext) {
			files = append(files, path)
		}
		return nil
	})
	if len(files) == 0 {
		t.Fatalf("no %s file under %s", ext, dir)
	}
	return files
}

// reader decodes messages of one schema and counts.
type reader struct {
	plan    message.Plan
	cols    []*column.Column
	decoded int
}

func newReader(enc message.Encoding, s message.Schema) (*reader, error) {
	layout, err := enc.Parse(s)
	if err != nil {
		return nil, err
	}
	plan, err := layout.Compile(nil)
	if err != nil {
		return nil, err
	}
	r := &reader{plan: plan}
	r.cols, _ = columnsFor(arrow.NewGoAllocator(), layout, nil)
	return r, nil
}

func (r *reader) decode(data []byte) error {
	n, err := r.plan.Append(r.cols, data, []message.Span{{Start: 0, End: uint32(len(data))}})
	r.decoded += n
	return err
}

// Real bags: the hash of every definition is the one its connection states,
// and messages in chunks that are not compressed decode.
func TestConformanceBags(t *testing.T) {
	hashes, messages := 0, 0
	for _, file := range recordings(t, ".bag") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const magic = "#ROSBAG V2.0\n"
		if !bytes.HasPrefix(b, []byte(magic)) {
			continue
		}
		readers := make(map[uint32]*reader)
		walkBag(b[len(magic):], func(op byte, head map[string][]byte, data []byte) {
			switch op {
			case 7:
				conn := binary.LittleEndian.Uint32(head["conn"])
				if readers[conn] != nil {
					return
				}
				fields := bagFields(data)
				name, text, hash := string(fields["type"]), fields["message_definition"], string(fields["md5sum"])
				typ, err := rosmsg.Parse(rosmsg.ROS1, name, text)
				if err != nil {
					t.Errorf("%s: %v", file, err)
					return
				}
				if len(text) > 0 && hash != "*" {
					if got := typ.MD5(); got != hash {
						t.Errorf("%s: %s has hash %s, computed %s", file, name, hash, got)
					}
					hashes++
				}
				if len(text) > 0 || name == "std_msgs/Empty" {
					if readers[conn], err = newReader(ros1.Encoding{}, message.Schema{Name: name, Encoding: "ros1msg", Data: text}); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
			case 2:
				if r := readers[binary.LittleEndian.Uint32(head["conn"])]; r != nil {
					messages++
					if err := r.decode(data); err != nil {
						t.Errorf("%s: %v", file, err)
					}
				}
			}
		})
	}
	t.Logf("%d definitions, %d messages", hashes, messages)
	if hashes == 0 || messages == 0 {
		t.Error("nothing was read")
	}
}

// walkBag calls f with the records of a bag, those in plain chunks too, until
// the data make no sense.
func walkBag(b []byte, f func(op byte, head map[string][]byte, data []byte)) {
	part := func() ([]byte, bool) {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil, false
		}
		n := 4 + int(binary.LittleEndian.Uint32(b))
		p := b[4:n]
		b = b[n:]
		return p, true
	}
	for {
		h, ok := part()
		data, ok2 := part()
		if !ok || !ok2 {
			return
		}
		head := bagFields(h)
		if len(head["op"]) != 1 {
			return
		}
		f(head["op"][0], head, data)
		if head["op"][0] == 5 && string(head["compression"]) == "none" {
			walkBag(data, f)
		}
	}
}

func bagFields(b []byte) map[string][]byte {
	fields := make(map[string][]byte)
	for len(b) >= 4 {
		n := uint64(binary.LittleEndian.Uint32(b))
		if n > uint64(len(b)-4) {
			break
		}
		name, value, _ := bytes.Cut(b[4:4+n], []byte("="))
		fields[string(name)] = value
		b = b[4+n:]
	}
	return fields
}

// Real MCAP files: every ros1msg and ros2msg schema parses and every message
// decodes. What does not is listed here with its reason.
func TestConformanceMCAP(t *testing.T) {
	refused := map[string]string{
		"data_load_mcap__test_data__test_bad_schema.mcap": "the schema is not one",
	}
	encodings := map[string]message.Encoding{"ros1": ros1.Encoding{}, "cdr": cdr.Encoding{}}
	schemas, messages := 0, 0
	for _, file := range recordings(t, ".mcap") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		readers := make(map[uint16]*reader)
		seen := make(map[uint16]bool)
		each := func(s *mcap.Schema, c *mcap.Channel, m *mcap.Message) {
			enc := encodings[c.MessageEncoding]
			if s == nil || enc == nil || s.Encoding != "ros1msg" && s.Encoding != "ros2msg" {
				return
			}
			if !seen[c.ID] {
				seen[c.ID] = true
				r, err := newReader(enc, message.Schema{Name: s.Name, Encoding: s.Encoding, Data: s.Data})
				if err != nil {
					for name := range refused {
						if strings.HasSuffix(file, name) {
							delete(refused, name)
							return
						}
					}
					t.Errorf("%s: %v", file, err)
					return
				}
				readers[c.ID] = r
				schemas++
			}
			if r := readers[c.ID]; r != nil {
				messages++
				if err := r.decode(m.Data); err != nil {
					t.Errorf("%s: channel %s (%s): %v", file, c.Topic, s.Name, err)
				}
			}
		}
		readMCAP(f, each)
		f.Close()
	}
	for name, reason := range refused {
		t.Errorf("%s was not refused: %s", name, reason)
	}
	t.Logf("%d schemas, %d messages", schemas, messages)
	if schemas == 0 || messages == 0 {
		t.Error("nothing was read")
	}
}

// readMCAP calls f with the messages of a file as far as it can be read.
func readMCAP(r io.ReadSeeker, f func(*mcap.Schema, *mcap.Channel, *mcap.Message)) {
	rd, err := mcap.NewReader(r)
	if err != nil {
		return
	}
	defer rd.Close()
	it, err := rd.Messages(mcap.UsingIndex(false), mcap.InOrder(mcap.FileOrder))
	if err != nil {
		return
	}
	var m mcap.Message
	for {
		s, c, _, err := it.NextInto(&m)
		if err != nil {
			return
		}
		f(s, c, &m)
	}
}

package protobuf_test

import (
	"encoding/base64"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/drivemill/drivemill/formats/message/messagetest"
)

// shuffled puts the fields of a message into another order.
func shuffled(m []byte) []byte {
	var parts [][]byte
	for len(m) > 0 {
		num, typ, k := protowire.ConsumeTag(m)
		l := protowire.ConsumeFieldValue(num, typ, m[k:])
		parts = append(parts, m[:k+l])
		m = m[k+l:]
	}
	// Values of one field keep their order.
	slices.SortStableFunc(parts, func(a, b []byte) int {
		x, _, _ := protowire.ConsumeTag(a)
		y, _, _ := protowire.ConsumeTag(b)
		return int(x*7919%97) - int(y*7919%97)
	})
	return slices.Concat(parts...)
}

// Random messages have the cells that the reference implementation says.
func TestOracle(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
	}{{"b.Full", []string{full, base}}, {"o.Old", []string{proto2}}, {"b.Tree", []string{full, base}}} {
		t.Run(c.name, func(t *testing.T) {
			l, d := schema(t, c.name, c.files...)
			r := rand.New(rand.NewPCG(1, 2))
			var msgs [][]byte
			var want []messagetest.Row
			for range 300 {
				b, err := proto.Marshal(randomMessage(r, d, 0))
				if err != nil {
					t.Fatal(err)
				}
				switch r.IntN(4) {
				case 0: // merging
					more, err := proto.Marshal(randomMessage(r, d, 0))
					if err != nil {
						t.Fatal(err)
					}
					b = append(b, more...)
				case 1:
					b = shuffled(b)
				case 2: // unknown fields
					b = protowire.AppendTag(b, 700, protowire.StartGroupType)
					b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
					b = protowire.AppendFixed64(b, 1)
					b = protowire.AppendTag(b, 700, protowire.EndGroupType)
				}
				m := dynamicpb.NewMessage(d)
				if err := proto.Unmarshal(b, m); err != nil {
					t.Fatal(err)
				}
				msgs = append(msgs, b)
				want = append(want, messagetest.Row{Cells: strings.Join(cells(m, true, "", map[protoreflect.FullName]int{}), " ")})
			}
			got := messagetest.Decode(t, l, nil, 64, msgs...)
			bad := 0
			for i := range got {
				got[i].Cells = canonical(t, d, got[i].Cells)
				if got[i] != want[i] && bad < 3 && !mergedDoubles(msgs[i]) {
					bad++
					t.Errorf("message %d: %x\n%s %s\nwant\n%s", i, msgs[i], got[i].Cells, got[i].Reason, want[i].Cells)
				}
			}
		})
	}
}

var bytesCell = regexp.MustCompile(`b:[A-Za-z0-9+/=]*`)

// canonical writes messages that are kept as bytes in the order of their
// numbers, as the oracle does.
func canonical(t *testing.T, d protoreflect.MessageDescriptor, cells string) string {
	tree := d.ParentFile().Messages().ByName("Tree")
	from := strings.Index(cells, "left.v=")
	if tree == nil || from < 0 {
		return cells
	}
	return cells[:from] + bytesCell.ReplaceAllStringFunc(cells[from:], func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s[2:])
		if err != nil {
			t.Fatal(err)
		}
		m := dynamicpb.NewMessage(tree)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return "b:" + base64.StdEncoding.EncodeToString(b)
	})
}

// mergedDoubles reports whether a message may have a map key twice, of which
// the oracle keeps one.
func mergedDoubles(m []byte) bool {
	seen := 0
	for len(m) > 0 {
		num, typ, k := protowire.ConsumeTag(m)
		l := protowire.ConsumeFieldValue(num, typ, m[k:])
		if num == 23 {
			seen++
		}
		m = m[k+l:]
	}
	return seen > 1
}

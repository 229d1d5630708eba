package mdf4

import (
	"strings"
	"unicode"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// buses are the beginnings of the names that the standard gives to the frames
// of bus logging.
var buses = map[string]string{"CAN": "can", "LIN": "lin", "FLX": "flexray", "ETH": "ethernet", "MOST": "most", "K": "kline", "KLINE": "kline", "USB": "usb"}

// frame is what the name of a frame channel says: CAN_DataFrame.
type frame struct {
	channel *channel
	bus     string // can
	kind    string // data
}

// frame finds the composition that holds the frames of a bus logging group;
// nil where there is none.
func (g *group) frame() *frame {
	for _, c := range g.channels {
		prefix, rest, ok := strings.Cut(c.name, "_")
		bus := buses[prefix]
		if !ok || bus == "" || len(c.members) == 0 || g.flags&cgBusEvent == 0 && c.flags&cnBusEvent == 0 {
			continue
		}
		return &frame{c, bus, frameKind(rest)}
	}
	return nil
}

// frameKind is what a frame is by the end of its name: DataFrame is data.
func frameKind(name string) string {
	kind := strings.TrimSuffix(strings.TrimSuffix(snake(name), "frame"), "_")
	if kind == "" || kind == "message" {
		return "data"
	}
	return kind
}

// busEvent tells the bus and the kind of frames whose members are not put
// together by a channel: those of some writers that have one member only.
func (g *group) busEvent() (bus, kind string) {
	for _, c := range g.channels {
		parent, _, nested := strings.Cut(c.name, ".")
		prefix, rest, ok := strings.Cut(parent, "_")
		if nested && ok && buses[prefix] != "" && (g.flags&cgBusEvent != 0 || c.flags&cnBusEvent != 0) {
			return buses[prefix], frameKind(rest)
		}
	}
	return "", ""
}

// frameTypes are the types of columns whose width depends on who wrote the file,
// though their meaning does not. They are integers also where a conversion
// makes the number, such as a constant bus channel.
var frameTypes = map[string]arrow.DataType{
	"bus_channel": arrow.Uint8Type, "id": arrow.Uint32Type, "ide": arrow.Uint8Type, "dlc": arrow.Uint8Type, "data_length": arrow.Uint16Type,
	"dir": arrow.Uint8Type, "srr": arrow.Uint8Type, "rtr": arrow.Uint8Type, "edl": arrow.Uint8Type, "brs": arrow.Uint8Type, "esi": arrow.Uint8Type,
	"wake_up": arrow.Uint8Type, "single_wire": arrow.Uint8Type, "r0": arrow.Uint8Type, "r1": arrow.Uint8Type,
	"error_type": arrow.Uint8Type, "bit_position": arrow.Uint16Type, "received_data_byte_count": arrow.Uint16Type,
	"flx_channel": arrow.Uint8Type, "cycle": arrow.Uint8Type, "payload_length": arrow.Uint8Type, "ether_type": arrow.Uint16Type,
	"source": arrow.Uint64Type, "destination": arrow.Uint64Type, "checksum_model": arrow.Uint8Type, "checksum": arrow.Uint8Type,
}

// frameColumn names the column of a member of a frame: DataBytes of
// CAN_DataFrame is data_bytes.
func frameColumn(parent, name string) string {
	return snake(strings.TrimPrefix(name, parent+"."))
}

// snake spells a name of the standard in lower case with underscores.
func snake(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && rs[i-1] != '_' && rs[i-1] != '.' {
			if !unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1]) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.NewReplacer(" ", "_", "-", "_").Replace(b.String())
}

// fdLength is the payload of a CAN frame by its data length code.
var fdLength = [16]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64}

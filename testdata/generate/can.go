package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/foxglove/mcap/go/mcap"
)

// canSeconds is the length of the CAN recording.
const canSeconds = 10

var canTopics = []topic{
	{"/can/powertrain", "can_msgs/Frame", "can_powertrain"},
	{"/can/truck", "can_msgs/Frame", "can_truck"},
}

const (
	powertrain = iota
	truck
)

// canSignal is one signal with its raw value: where it lies, and what a reader
// must find in it. A nil value is a null.
type canSignal struct {
	name       string
	start, len int
	motorola   bool
	raw        int64
	value      value
}

// pack puts raw values into the payload of a frame, bit by bit.
func pack(size int, fill byte, signals []canSignal) []byte {
	out := bytes.Repeat([]byte{fill}, size)
	for _, s := range signals {
		at := s.start
		for i := range s.len {
			bit := i // of the raw value
			if s.motorola {
				bit = s.len - 1 - i
			}
			if at/8 < size {
				out[at/8] &^= 1 << (at % 8)
				out[at/8] |= byte(s.raw>>bit&1) << (at % 8)
			}
			switch {
			case !s.motorola:
				at++
			case at%8 == 0:
				at += 15
			default:
				at--
			}
		}
	}
	return out
}

// canFrame is the body of a can_msgs/Frame.
type canFrame struct {
	id       uint32
	extended bool
	remote   bool
	failed   bool
	data     []byte
}

func (f canFrame) record(at int64) record {
	data := make(list, 8)
	for i := range data {
		data[i] = uint8(0)
		if i < len(f.data) {
			data[i] = f.data[i]
		}
	}
	return record{record{stamp(at), ""}, f.id, f.remote, f.extended, f.failed, uint8(len(f.data)), data}
}

// canDrive collects frames and the rows they stand for.
type canDrive struct {
	messages []message
	rows     map[string]*bytes.Buffer
}

// frame logs a frame.
func (c *canDrive) frame(bus int, at int64, f canFrame) {
	c.messages = append(c.messages, message{topic: bus, seq: uint32(len(c.messages)), log: at + 200_000, stamp: at, body: f.record(at)})
}

// row notes what a frame that was just logged means.
func (c *canDrive) row(table string, at int64, extra []canSignal, signals []canSignal) {
	b := []byte(fmt.Sprintf(`{"ts_ns":%d`, at))
	for _, s := range append(extra, signals...) {
		if s.value == nil {
			continue
		}
		b = append(b, ',')
		b = append(appendJSON(b, s.name), ':')
		b = appendJSON(b, s.value)
	}
	if c.rows[table] == nil {
		c.rows[table] = new(bytes.Buffer)
	}
	c.rows[table].Write(append(b, "}\n"...))
}

func address(priority, source int, destination value) []canSignal {
	return []canSignal{{name: "priority", value: int64(priority)}, {name: "source_address", value: int64(source)}, {name: "destination_address", value: destination}}
}

var gears = map[int64]string{-1: "reverse", 0: "neutral", 1: "first", 2: "second", 3: "third"}

// makeCAN makes ten seconds on two buses: a powertrain with plain, multiplexed
// and floating-point messages, and a truck that speaks J1939.
func makeCAN() *canDrive {
	c := &canDrive{rows: make(map[string]*bytes.Buffer)}
	path := track()
	for i := range canSeconds * 20 {
		at := driveStart + int64(i)*50_000_000
		p := path[i*5]
		c.engine(at, i, p)
		c.gearbox(at+1_000_000, i, p)
		if i%4 == 0 {
			c.motion(at+2_000_000, p)
		}
		c.truck(at+3_000_000, i, p)
	}
	return c
}

func (c *canDrive) engine(at int64, i int, p pose) {
	speed := int64(3200 + p.speed*400)
	temperature := int64(60 + i/4)
	throttle := int64(max(0, p.accel) * 300)
	s := []canSignal{
		{"EngineSpeed", 0, 16, false, speed, float64(speed) * 0.25},
		{"EngineTemperature", 16, 8, false, temperature, float64(temperature) - 40},
		{"Throttle", 31, 10, true, throttle, float64(throttle) * 0.1},
		{"Counter", 40, 4, false, int64(i % 16), int64(i % 16)},
		{"Running", 44, 1, false, 1, int64(1)},
		{"Running_label", 44, 1, false, 1, "on"},
	}
	size := 8
	if i == 21 { // cut behind the temperature
		size = 3
		for k := range s[2:] {
			s[2+k].value = nil
		}
	}
	c.frame(powertrain, at, canFrame{id: 0x100, data: pack(size, 0, s)})
	c.row("can_powertrain_enginedata", at, nil, s)
	switch i {
	case 40:
		c.frame(powertrain, at+500_000, canFrame{id: 0x100, remote: true})
	case 41:
		c.frame(powertrain, at+500_000, canFrame{id: 0x4, failed: true, data: []byte{0, 0, 0, 0, 0, 0, 0, 0}})
	case 42:
		c.frame(powertrain, at+500_000, canFrame{id: 0x7ff, data: []byte{1, 2, 3}})
	}
}

func (c *canDrive) gearbox(at int64, i int, p pose) {
	mode, gear := int64(i%3), int64(min(3, p.speed/4))
	if i < 5 {
		gear = -1
	}
	s := []canSignal{
		{"Mode", 7, 8, true, mode, mode},
		{"Gear", 8, 4, false, gear, gear},
		{"Gear_label", 8, 4, false, gear, gears[gear]},
	}
	switch mode { // 2 says nothing
	case 0:
		s = append(s, canSignal{"OilTemperature", 16, 8, false, int64(80 + i/10), float64(80+i/10)*0.5 - 20})
	case 1:
		torque := int64(p.accel * 100)
		s = append(s, canSignal{"ClutchTorque", 23, 16, true, torque, float64(torque) * 0.5})
	}
	c.frame(powertrain, at, canFrame{id: 0x18ff0001, extended: true, data: pack(8, 0xff, s)})
	c.row("can_powertrain_gearbox", at, nil, s)
}

func (c *canDrive) motion(at int64, p pose) {
	speed := float32(p.speed)
	s := []canSignal{
		{"Speed", 0, 32, false, int64(math.Float32bits(speed)), float64(speed)},
		{"Odometer", 32, 32, false, int64(p.distance * ticksPerM), int64(p.distance * ticksPerM)},
	}
	c.frame(powertrain, at, canFrame{id: 0x200, data: pack(8, 0, s)})
	c.row("can_powertrain_motion", at, nil, s)
}

func (c *canDrive) truck(at int64, i int, p pose) {
	source := []int{0x00, 0x15}[i%2]
	speed := int64(6400 + p.speed*800)
	s := []canSignal{
		{"DemandTorque", 8, 8, false, 0xff, nil}, // not available
		{"EngineSpeed", 24, 16, false, speed, float64(speed) * 0.125},
	}
	c.frame(truck, at, canFrame{id: 0x0cf00400 | uint32(source), extended: true, data: pack(8, 0xff, s)})
	c.row("can_truck_eec1", at, address(3, source, nil), s)
	if i%40 != 10 {
		return
	}
	// A broadcast of 20 bytes: announced, then in three packets.
	load := []canSignal{
		{"AxleLoad1", 0, 16, false, int64(5000 + i), float64(5000+i) * 0.5},
		{"AxleLoad2", 64, 16, false, int64(8000 + i), float64(8000+i) * 0.5},
		{"Trailer", 152, 8, false, 1, int64(1)},
		{"Trailer_label", 152, 8, false, 1, "coupled"},
	}
	data := pack(20, 0xff, load)
	c.frame(truck, at+1_000_000, canFrame{id: 0x1cecff0b, extended: true, data: []byte{32, 20, 0, 3, 0xff, 0x21, 0xff, 0}})
	for k := range 3 {
		part := append([]byte{byte(k + 1)}, data[7*k:min(7*k+7, 20)]...)
		for len(part) < 8 {
			part = append(part, 0xff)
		}
		c.frame(truck, at+int64(k+2)*1_000_000, canFrame{id: 0x1cebff0b, extended: true, data: part})
	}
	start := canSignal{name: "transfer_start_ns", value: at + 1_000_000}
	c.row("can_truck_loadreport", at+4_000_000, append(address(7, 0x0b, int64(0xff)), start), load)
}

const powertrainDBC = `VERSION "1"

NS_ :
	CM_
	BA_DEF_
	VAL_

BS_:

BU_: ECU TCU

BO_ 256 EngineData: 8 ECU
 SG_ EngineSpeed : 0|16@1+ (0.25,0) [0|16000] "rpm" TCU
 SG_ EngineTemperature : 16|8@1+ (1,-40) [-40|215] "°C" TCU
 SG_ Throttle : 31|10@0+ (0.1,0) [0|100] "%" TCU
 SG_ Counter : 40|4@1+ (1,0) [0|15] "" Vector__XXX
 SG_ Running : 44|1@1+ (1,0) [0|1] "" Vector__XXX

BO_ 512 Motion: 8 ECU
 SG_ Speed : 0|32@1- (1,0) [0|0] "m/s" TCU
 SG_ Odometer : 32|32@1+ (1,0) [0|0] "" TCU

BO_ 2566848513 GearBox: 8 TCU
 SG_ Mode M : 7|8@0+ (1,0) [0|2] "" ECU
 SG_ Gear : 8|4@1- (1,0) [-1|6] "" ECU
 SG_ OilTemperature m0 : 16|8@1+ (0.5,-20) [0|0] "°C" ECU
 SG_ ClutchTorque m1 : 23|16@0- (0.5,0) [0|0] "Nm" ECU

CM_ BO_ 256 "State of the engine; every 50 ms";
CM_ SG_ 256 EngineSpeed "Speed of the crankshaft";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 10000;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 256 50;
VAL_ 256 Running 0 "off" 1 "on";
VAL_ 2566848513 Gear -1 "reverse" 0 "neutral" 1 "first" 2 "second" 3 "third";
SIG_VALTYPE_ 512 Speed : 1;
`

const truckDBC = `VERSION ""

BU_:

BO_ 2364540158 EEC1: 8 Vector__XXX
 SG_ DemandTorque : 8|8@1+ (1,-125) [-125|125] "%" Vector__XXX
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" Vector__XXX

BO_ 2566857214 LoadReport: 20 Vector__XXX
 SG_ AxleLoad1 : 0|16@1+ (0.5,0) [0|0] "kg" Vector__XXX
 SG_ AxleLoad2 : 64|16@1+ (0.5,0) [0|0] "kg" Vector__XXX
 SG_ Trailer : 152|8@1+ (1,0) [0|0] "" Vector__XXX

BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_ "ProtocolType" STRING ;
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
BA_DEF_DEF_ "ProtocolType" "J1939";
VAL_ 2566857214 Trailer 0 "none" 1 "coupled";
`

// writeCAN writes the recording, its databases and the rows to expect. The
// powertrain's database is in Windows-1252, as tools write them.
func writeCAN(out *output) error {
	c := makeCAN()
	data, err := writeMCAP(newDialect(false), canTopics, c.messages, mcap.WriterOptions{Chunked: true, ChunkSize: chunkSize, Compression: mcap.CompressionZSTD, IncludeCRC: true})
	if err != nil {
		return err
	}
	if err := out.write("can/v01_20260302T081500Z.mcap", data); err != nil {
		return err
	}
	if err := out.write("can/powertrain.dbc", []byte(strings.ReplaceAll(strings.ReplaceAll(powertrainDBC, "°", "\xb0"), "\n", "\r\n"))); err != nil {
		return err
	}
	if err := out.write("can/truck.dbc", []byte(truckDBC)); err != nil {
		return err
	}
	for table, rows := range c.rows {
		if err := out.write("can/expected/"+table+".ndjson", rows.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

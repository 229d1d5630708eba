// Package mdf4test writes MDF4 files (ASAM MDF 4.0 to 4.3) for tests: small,
// declared as values, and able to say what no common writer writes.
//
//	f := &mdf4test.File{Groups: []*mdf4test.DataGroup{{
//		Groups: []*mdf4test.Group{{
//			Name: "engine",
//			Channels: []*mdf4test.Channel{
//				{Name: "t", Type: mdf4test.Master, Sync: mdf4test.SyncTime, Data: mdf4test.FloatLE, Bits: 64},
//				{Name: "speed", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 16, Unit: "km/h"},
//			},
//			Records: [][]byte{mdf4test.LE(0.0, uint16(80)), mdf4test.LE(0.5, uint16(81))},
//		}},
//		Storage: mdf4test.Storage{List: mdf4test.HL, Piece: 7, Zip: mdf4test.Deflate},
//	}}}
//	os.WriteFile(name, f.Bytes(), 0o644)
//
// Descriptions come first in the file, data blocks last, in the order of the
// groups. A File is not checked: a test may declare what the standard forbids.
// It depends on no reader, so that both cannot share a mistake.
package mdf4test

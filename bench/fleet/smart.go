package fleet

// Smart returns what a drive reports of an attribute on a day: both values, or
// nothing where ok is false. Until the end of 2013 only five raw values were
// collected, and no normalized ones.
func (d *Drive) Smart(day Day, id int) (normalized, raw int64, ok bool) {
	for _, n := range d.Model.Smart {
		if n == id {
			normalized, raw = d.smart(day, id)
			return normalized, raw, true
		}
	}
	return 0, 0, false
}

// early are the attributes of the first year.
var early = [256]bool{1: true, 5: true, 9: true, 194: true, 197: true}

var detailed = Date(2014, 1, 1)

// smart is Smart for an attribute that the model has.
func (d *Drive) smart(day Day, id int) (normalized, raw int64) {
	noise := mix(d.seed + uint64(id)<<32 + uint64(uint32(day))) // of drive, attribute and day
	own := mix(d.seed + uint64(id))                             // of drive and attribute
	hours := d.Hours(day)
	switch id {
	case 1: // read errors: a sector count in the low bits of some makers
		if d.Model.Name[:2] == "ST" {
			raw = int64(noise % 244_140_624)
			return 70 + raw/20_000_000, raw
		}
		if noise%50 == 0 {
			return 100, int64(noise >> 32 % 65536)
		}
		return 100, 0
	case 2: // throughput
		return 130 + int64(own%10), 96 + int64(own%12)
	case 3: // spin-up
		return 90 + int64(own%8), int64(own % 700)
	case 4, 12: // starts and power cycles
		return 100, 3 + int64(own%25) + hours/5000
	case 5, 187, 197, 198: // sectors in trouble: grow before most failures
		if left := int64(d.Last - day); d.Failed && left < 20 && own%4 != 0 {
			return max(1, 100-(20-left)), 8 * (20 - left) * (1 + int64(own%30))
		}
		if own%60 == 0 {
			return 100 - int64(own>>8%8), 8 * (1 + int64(own>>16%40)) * (1 + hours/20000)
		}
		return 100, 0
	case 7: // seeks: errors and operations, packed
		return 60 + hours/1500%30, hours*9000 + int64(own%1_000_000)
	case 8:
		return 128, 18
	case 9:
		return max(1, 100-hours/900), hours
	case 22, 23, 24: // helium
		return 100, 100 * int64(id/22) % 200
	case 188: // timeouts: three counters of 16 bits
		if own%40 == 0 {
			n := int64(own>>8%6) + 1
			return 100, n<<32 | n<<16 | n
		}
		return 100, 0
	case 190, 194: // temperature
		t := 22 + int64(mix(d.seed)%14) + int64(noise>>8%3)
		if id == 190 {
			return 100 - t, t
		}
		return t, t
	case 192, 193, 225: // unloads and load cycles
		return max(1, 100-hours/3000), hours/(2+int64(own%9)) + int64(own%200)
	case 195, 200:
		return 100 - int64(own%4), 0
	case 199: // cable
		if own%90 == 0 {
			return 200, 1 + int64(own>>8%30)
		}
		return 200, 0
	case 220: // shock of the disk
		return 100, 17_000_000 + int64(noise%1_000_000)
	case 222: // loaded
		return max(1, 100-hours/900), hours - hours/50
	case 224, 226:
		return 100, int64(own % 600)
	case 240: // head flying hours, milliseconds in the upper bits
		return 100, hours | int64(noise%60)<<32
	case 241, 242: // sectors written and read
		return 100, hours*(40_000+int64(own%900_000)) + int64(noise%30_000_000)
	case 173, 177, 231, 233: // wear
		return max(1, 100-hours/2000), hours / 60
	case 202, 230, 232, 245:
		return 100, hours / 400
	}
	return 100, int64(own % 3)
}

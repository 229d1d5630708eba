// Package conversion turns raw channel values of MDF4 into physical values and
// texts: the conversion rules of CCBLOCK (ASAM MDF 4.0 to 4.3), types 0 to 11,
// and the formulas of ASAM MCD-2 MC that type 3 holds.
//
// A Block is compiled once per channel into a Program, which a Converter
// applies to blocks of 1,024 rows, column at a time. A program has up to two
// results, in columns of their own, so that no column mixes numbers and texts:
//
//	value  float64: what the rule scales; null where it gives a text instead
//	label  string:  what the rule names; null where it gives a number or nothing
//
// Rules
//
//	 0 identity          the raw values stay as they are, exactly
//	 1 linear            P1 + P2*x; P1 = 0 and P2 = 1 is the identity
//	 2 rational          (P1*x² + P2*x + P3) / (P4*x² + P5*x + P6)
//	 3 algebraic         a formula in X; see formula.go for its grammar
//	 4 table             linear between keys, clamped outside
//	 5 table             value of the nearest key, the lower one of two as near
//	 6 range to value    first matching range, otherwise the default
//	 7 value to text     a text or a rule of its own for each key, and a default
//	 8 range to text     a text or a rule of its own for each range, and a default
//	 9 text to value     exact match, otherwise the default
//	10 text to text      exact match, otherwise the default, otherwise the input
//	11 bitfield text     the texts of x & mask for each mask, joined by "|", with
//	                     "name=" in front where the rule of that mask has a name
//
// Ranges hold lo <= x <= hi for integers and lo <= x < hi for floating point
// numbers; a floating point range whose bounds are equal holds that one number.
// Keys and bounds are compared with 64-bit integers exactly. Everything that is
// computed is computed in float64, rounded after every operation, and infinities
// and NaN come out as IEEE 754 gives them. A NaN matches no key and no range.
// Keys of types 4 and 5 that do not ascend are sorted; the first of two equal
// keys counts.
//
// A reference of types 7 and 8 that is NIL gives neither value nor label. If
// the entries are status strings (flag bit 2) and the default is NIL, the
// default is the identity. A program of types 7 and 8 that names but scales
// nothing has no value column: the number a row is about is the raw one.
//
// Limits: blocks nest 16 deep, a tree has 4,096 of them, the texts of a row
// have 16 KiB together, a formula has 4,096 bytes. The inverse rule of a block
// is for writing and is not used.
package conversion

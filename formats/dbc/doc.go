// Package dbc reads CAN databases in the DBC text format and decodes frames
// with them.
//
// # Layout
//
// A DBC file is text: statements that begin with a keyword and mostly end with
// a semicolon. What decoding needs:
//
//	BO_ id name : length sender             a message; bit 31 of id: 29-bit identifier
//	 SG_ name mux : start|length@order sign (factor,offset) [min|max] "unit" receivers
//	SIG_VALTYPE_ id signal : 1;             IEEE float32, 2 is float64, 0 an integer
//	SG_MUL_VAL_ id signal switch lo-hi, ..; extended multiplexing
//	VAL_ id signal raw "text" ... ;         value table; VAL_TABLE_ names one
//	CM_, BA_DEF_, BA_DEF_DEF_, BA_          comments and attributes
//
// The encoding is not declared: a byte order mark or valid UTF-8 decides for
// UTF-8, anything else is read as Windows-1252, which agrees with ISO 8859-1
// wherever that has a printable character. Names longer than 32 characters are
// taken from the System...LongSymbol attributes once everything is resolved.
//
// Bit b of a payload is bit b%8 of byte b/8, bit 0 the least significant one.
// With order 1 (Intel) start is the least significant bit of a signal, with
// order 0 (Motorola) the most significant one, after bit 0 of a byte follows
// bit 7 of the next.
//
// # Values
//
// The physical value is raw*factor+offset in float64, a multiplication and an
// addition that are each rounded. An integer signal with factor 1 and offset 0
// is int64, or uint64 with 64 bits and no sign, and so exact. An integer
// signal whose factor and offset are whole numbers is int64 where its range
// leaves the integers that float64 holds and fits int64. Minimum and maximum
// never clip. A signal with a value table gets its text in a second column and,
// where it is scaled, its raw number in a third; tables speak of raw values.
//
// # Damage
//
// Databases in the field have mistakes. Parse uses what can be used and names
// each problem with its line and column: unknown statements, signals that lie
// outside their message, multiplexing without a switch, and so on. It fails
// only for what is no DBC file at all, or beyond the limits: 32 MiB, 65535
// messages, 4096 signals in a message, 65535 bytes in a message.
//
// # Transport
//
// Reassembler joins what was sent in several frames: SAE J1939-21 broadcast and
// connection mode transfers (up to 1785 bytes), NMEA 2000 fast packets (223)
// and ISO 15765-2 with normal addressing (4095).
//
// ARXML, KCD and SYM databases are refused by name. One frame that carries
// several PDUs cannot be described by a DBC.
package dbc

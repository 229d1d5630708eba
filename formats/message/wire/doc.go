// Package wire decodes the two serializations of ROS messages into columns:
// the packed one of ROS 1, and plain CDR of ROS 2. Both are the values of a
// message in order of declaration; they differ in alignment, byte order and a
// few types, which a Dialect tells.
//
// A message type, a selection of columns and a dialect are compiled into a
// Program: a flat list of operations. Values of fixed size that follow each
// other make a run, which costs one bounds check and, where nothing of it is
// selected, one addition. While a program walks over messages it only notes
// where runs begin; every so often the noted places are gathered column by
// column, in tight loops over values of one type. Strings and lists are
// appended as the walk meets them; that strings are UTF-8 is checked a column
// at a time.
//
// In CDR a value of n bytes begins at a multiple of n, counted from behind the
// encapsulation header. The compiler follows the position modulo 8 as far as
// it is known, so that padding inside a run is constant; behind a string or a
// sequence the next run begins with a computed alignment.
//
// Every length in a message is held against the bytes that are left before it
// is used. The elements of a list that hold nothing (messages without fields)
// are not looped over: such a list is a column of its length.
package wire

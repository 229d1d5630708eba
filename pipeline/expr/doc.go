// Package expr is the expression language of pipelines: conditions and
// computed columns over the columns of one table, checked before anything is
// read and evaluated column by column.
//
// # Columns
//
// A column is written as it is called, dots included: twist.twist.linear.x.
// Names with other characters, and names that are words of the language, stand
// in backticks: `Engine Speed [rpm]`, header.`in`. Texts stand in single or
// double quotes.
//
// # Types
//
// bool, int64 (all integer columns but uint64), uint64, float64 (float32 too),
// string (labels too), timestamp, duration and date. Columns of other types
// (binary, lists) can be tested for null and measured with len. Integer
// literals fit int64 and uint64. Where int64 and uint64 meet, arithmetic is
// exact and gives int64; where an integer meets a float64 it gives float64.
// Comparisons between any two number types are exact.
//
// # Operators, loosest first
//
//	?:                               condition, also if c {a} else {b}
//	or ||
//	and &&
//	== != < <= > >= in contains startsWith endsWith matches
//	not !
//	+ -
//	* / %
//	**                               power, always float64
//	??                               the left value, or the right where it is null
//
// The last but one is a trap: "not" binds tighter than a comparison, so negate
// one in parentheses: not (a == b). "not in", "not contains" and the like need
// none. Comparisons chain: 1 < x < 5. "in" takes a list: state in ["on", "off"].
// "matches" takes a regular expression in RE2 syntax as a literal.
//
// Division of integers gives an integer and cuts towards zero; division gives
// a float64 as soon as one side is a float64. % has the sign of the dividend.
// Durations add to timestamps, timestamps subtract to durations, durations
// scale by integers, and duration / duration is a float64.
//
// # Functions
//
//	abs floor ceil round sqrt sin cos tan exp log pow(x, y) atan2(y, x)
//	min(a, b, ...) max(a, b, ...)    null when one argument is null
//	int(x) float(x) string(x)        conversions; int cuts towards zero
//	len(x)                           characters, bytes of a binary, elements of a list
//	lower upper trim                 of strings
//	is_nan(x)  coalesce(a, b, ...)
//	timestamp("2024-05-01T08:00:00Z")  duration("1.5s")  date("2024-05-01")
//	timestamp(date)  date(timestamp)  epoch_ns(timestamp)
//
// # Null
//
// Null follows SQL: an operation on null is null, "and" and "or" know false and
// true sides, a filter drops a row whose condition is null, and a condition of
// ?: that is null takes the second branch. x == nil and x != nil test for null
// and are never null themselves. Null is never an error.
//
// Floats follow IEEE 754: NaN is unequal to everything, and dividing a float by
// zero gives an infinity or NaN.
//
// # Rejected rows
//
// A row is rejected, by a reason that the ledger counts, when an integer is
// divided by zero (division_by_zero), when a result does not fit its type
// (integer_overflow), or when int() or float() cannot read a string
// (cast_invalid). The right side of "and" only counts for rows whose left side
// is not false, that of "or" for rows whose left side is not true, that of ??
// for rows whose left side is null, and a branch of ?: for the rows that take
// it: "x != 0 and 10 / x > 1" rejects nothing. A constant that cannot be
// computed is a mistake in the pipeline.
package expr

// Package arrow is the only package of drivemill that imports the Apache Arrow
// module. It renames what the rest of the code uses, so that moving to another
// release of Arrow is a change of this one package. Aliases add no cost.
//
// A lint test (pipeline/lint_test.go) fails when another package imports the
// module directly.
package arrow

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Schemas and types.
type (
	Schema   = arrow.Schema
	Field    = arrow.Field
	Metadata = arrow.Metadata
	DataType = arrow.DataType
	TypeID   = arrow.Type

	TimestampType     = arrow.TimestampType
	DurationType      = arrow.DurationType
	ListType          = arrow.ListType
	FixedSizeListType = arrow.FixedSizeListType
	StructType        = arrow.StructType
	DictionaryType    = arrow.DictionaryType
	Decimal128Type    = arrow.Decimal128Type
	TimeUnit          = arrow.TimeUnit
	DecimalNumber     = decimal128.Num
)

// Units of timestamps. Batches have nanoseconds, files may have others.
const (
	Second      = arrow.Second
	Millisecond = arrow.Millisecond
	Microsecond = arrow.Microsecond
	Nanosecond  = arrow.Nanosecond
)

// Arrays and records.
type (
	Record    = arrow.Record
	Array     = arrow.Array
	ArrayData = arrow.ArrayData
	Data      = array.Data

	Null          = array.Null
	Bool          = array.Boolean
	Int8          = array.Int8
	Int16         = array.Int16
	Int32         = array.Int32
	Int64         = array.Int64
	Uint8         = array.Uint8
	Uint16        = array.Uint16
	Uint32        = array.Uint32
	Uint64        = array.Uint64
	Float32       = array.Float32
	Float64       = array.Float64
	String        = array.String
	Binary        = array.Binary
	Timestamp     = array.Timestamp
	Duration      = array.Duration
	Date32        = array.Date32
	List          = array.List
	FixedSizeList = array.FixedSizeList
	Struct        = array.Struct
	Dictionary    = array.Dictionary
	Decimal128    = array.Decimal128
)

// Memory.
type (
	Allocator        = memory.Allocator
	Buffer           = memory.Buffer
	CheckedAllocator = memory.CheckedAllocator
)

// The types batches are made of. Timestamps in memory are always nanoseconds
// in UTC; durations always nanoseconds.
var (
	NullType    DataType = arrow.Null
	BoolType    DataType = arrow.FixedWidthTypes.Boolean
	Int8Type    DataType = arrow.PrimitiveTypes.Int8
	Int16Type   DataType = arrow.PrimitiveTypes.Int16
	Int32Type   DataType = arrow.PrimitiveTypes.Int32
	Int64Type   DataType = arrow.PrimitiveTypes.Int64
	Uint8Type   DataType = arrow.PrimitiveTypes.Uint8
	Uint16Type  DataType = arrow.PrimitiveTypes.Uint16
	Uint32Type  DataType = arrow.PrimitiveTypes.Uint32
	Uint64Type  DataType = arrow.PrimitiveTypes.Uint64
	Float32Type DataType = arrow.PrimitiveTypes.Float32
	Float64Type DataType = arrow.PrimitiveTypes.Float64
	StringType  DataType = arrow.BinaryTypes.String
	BinaryType  DataType = arrow.BinaryTypes.Binary
	Date32Type  DataType = arrow.FixedWidthTypes.Date32
	// TimeType is a timestamp in nanoseconds since 1970-01-01 UTC.
	TimeType DataType = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	// SpanType is a signed duration in nanoseconds.
	SpanType DataType = arrow.FixedWidthTypes.Duration_ns
	// LabelType is a dictionary-encoded string: int32 indices into strings.
	LabelType DataType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
)

// Type identifiers, for switches over DataType.ID().
const (
	NULL            = arrow.NULL
	BOOL            = arrow.BOOL
	INT8            = arrow.INT8
	INT16           = arrow.INT16
	INT32           = arrow.INT32
	INT64           = arrow.INT64
	UINT8           = arrow.UINT8
	UINT16          = arrow.UINT16
	UINT32          = arrow.UINT32
	UINT64          = arrow.UINT64
	FLOAT32         = arrow.FLOAT32
	FLOAT64         = arrow.FLOAT64
	STRING          = arrow.STRING
	BINARY          = arrow.BINARY
	TIMESTAMP       = arrow.TIMESTAMP
	DURATION        = arrow.DURATION
	DATE32          = arrow.DATE32
	LIST            = arrow.LIST
	FIXED_SIZE_LIST = arrow.FIXED_SIZE_LIST
	STRUCT          = arrow.STRUCT
	DICTIONARY      = arrow.DICTIONARY
	DECIMAL128      = arrow.DECIMAL128
)

// Constructors.
var (
	NewSchema              = arrow.NewSchema
	NewMetadata            = arrow.NewMetadata
	ListOf                 = arrow.ListOf
	ListOfField            = arrow.ListOfField
	FixedSizeListOf        = arrow.FixedSizeListOf
	StructOf               = arrow.StructOf
	TypeEqual              = arrow.TypeEqual
	NewData                = array.NewData
	NewDataWithDictionary  = array.NewDataWithDictionary
	NewSliceData           = array.NewSliceData
	MakeFromData           = array.MakeFromData
	NewSlice               = array.NewSlice
	NewRecord              = array.NewRecord
	NewDecimalNumber       = decimal128.New
	Concatenate            = array.Concatenate
	NewDictionaryArray     = array.NewDictionaryArray
	RecordEqual            = array.RecordEqual
	ArrayEqual             = array.Equal
	NewBufferBytes         = memory.NewBufferBytes
	NewResizableBuffer     = memory.NewResizableBuffer
	NewBufferWithAllocator = memory.NewBufferWithAllocator
	NewGoAllocator         = memory.NewGoAllocator
	NewCheckedAllocator    = memory.NewCheckedAllocator
)

// Casts between byte slices and typed slices, without copying.
var (
	Int8s    = arrow.Int8Traits.CastFromBytes
	Int16s   = arrow.Int16Traits.CastFromBytes
	Int32s   = arrow.Int32Traits.CastFromBytes
	Int64s   = arrow.Int64Traits.CastFromBytes
	Uint16s  = arrow.Uint16Traits.CastFromBytes
	Uint32s  = arrow.Uint32Traits.CastFromBytes
	Uint64s  = arrow.Uint64Traits.CastFromBytes
	Float32s = arrow.Float32Traits.CastFromBytes
	Float64s = arrow.Float64Traits.CastFromBytes
)

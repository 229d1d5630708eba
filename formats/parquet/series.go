package parquet

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// series is one column of a row group, in the pieces in which its rows came.
// Pages do not end where pieces do: one that lies in several is put together.
type series struct {
	mem    arrow.Allocator
	arrs   []arrow.Array
	at     int         // rows of arrs[0] that are done
	joined arrow.Array // the page or column put together last; nil for none
}

// left counts the rows to come.
func (s *series) left() int {
	n := -s.at
	for _, a := range s.arrs {
		n += a.Len()
	}
	return n
}

// size is rawBytes of rows [from, to), counted from the first row to come.
func (s *series) size(from, to int) int64 {
	sum := int64(0)
	from, to = from+s.at, to+s.at
	for _, a := range s.arrs {
		if to <= 0 {
			break
		}
		if n := a.Len(); from < n {
			sum += rawBytes(a, max(from, 0), min(to, n))
		}
		from, to = from-a.Len(), to-a.Len()
	}
	return sum
}

// page returns the rows of the next page, as part of an array that is valid
// until the next call.
func (s *series) page() (arr arrow.Array, from, to int, err error) {
	n := rowsWithin(s.size, 0, s.left(), pageRows, pageBytes)
	for s.at == s.arrs[0].Len() {
		s.arrs, s.at = s.arrs[1:], 0
	}
	if from, to = s.at, s.at+n; to <= s.arrs[0].Len() {
		s.at = to
		return s.arrs[0], from, to, nil
	}
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for got := 0; got < n; {
		a := s.arrs[0]
		end := min(a.Len(), s.at+n-got)
		if end > s.at {
			parts = append(parts, arrow.NewSlice(a, int64(s.at), int64(end)))
		}
		got += end - s.at
		if s.at = end; got < n {
			s.arrs, s.at = s.arrs[1:], 0
		}
	}
	if arr, err = column.Concat(s.mem, parts); err != nil {
		return nil, 0, 0, err
	}
	s.release()
	s.joined = arr
	return arr, 0, n, nil
}

// join puts all together, before the first page.
func (s *series) join() (arrow.Array, error) {
	if len(s.arrs) > 1 {
		arr, err := column.Concat(s.mem, s.arrs)
		if err != nil {
			return nil, err
		}
		s.arrs = []arrow.Array{arr}
		s.joined = arr
	}
	return s.arrs[0], nil
}

// release frees what was put together.
func (s *series) release() {
	if s.joined != nil {
		s.joined.Release()
		s.joined = nil
	}
}

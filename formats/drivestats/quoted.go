package drivestats

import "bytes"

// splitter takes a line with quotes apart.
type splitter struct {
	data []byte
	ends []int
}

// split reports whether each quoted cell has an end.
func (s *splitter) split(line []byte) bool {
	s.data, s.ends = s.data[:0], s.ends[:0]
	for p := 0; ; p++ {
		if p < len(line) && line[p] == '"' {
			for p++; ; p++ {
				i := bytes.IndexByte(line[p:], '"')
				if i < 0 {
					return false
				}
				s.data = append(s.data, line[p:p+i]...)
				if p += i + 1; p == len(line) || line[p] != '"' {
					break
				}
				s.data = append(s.data, '"')
			}
			if p < len(line) && line[p] != ',' {
				return false
			}
		} else {
			end := cellEnd(line, p, len(line))
			s.data = append(s.data, line[p:end]...)
			p = end
		}
		s.ends = append(s.ends, len(s.data))
		if p == len(line) {
			return true
		}
	}
}

// cell returns the text of cell i.
func (s *splitter) cell(i int) []byte {
	if i == 0 {
		return s.data[:s.ends[0]]
	}
	return s.data[s.ends[i-1]:s.ends[i]]
}

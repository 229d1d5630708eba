package rosmsg

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// MD5 is the ROS 1 hash of a message type in lower-case hex: what a bag's
// connection and the ROS 1 wire protocol know a type by. Message types enter
// it by their own hash without array suffix, so that equal hashes do not prove
// equal layouts: T, T[] and T[3] hash alike.
func (t *Type) MD5() string { return t.md5(make(map[*Type]string)) }

func (t *Type) md5(memo map[*Type]string) string {
	if h, ok := memo[t]; ok {
		return h
	}
	var lines []string
	for i := range t.Constants {
		c := &t.Constants[i]
		lines = append(lines, c.TypeName+" "+c.Name+"="+c.Text)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Message != nil {
			lines = append(lines, f.Message.md5(memo)+" "+f.Name)
		} else {
			lines = append(lines, f.TypeName+f.suffix+" "+f.Name)
		}
	}
	sum := md5.Sum([]byte(strings.Join(lines, "\n")))
	h := hex.EncodeToString(sum[:])
	memo[t] = h
	return h
}

package tree

// AppendQuoted appends UTF-8 text as a JSON string (RFC 8259, section 7).
func AppendQuoted(b, s []byte) []byte {
	return append(AppendEscaped(append(b, '"'), s), '"')
}

// AppendEscaped appends what lies between the quotes of a JSON string.
func AppendEscaped(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, s[from:]...)
}

package explore

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what Text prints; the JSON form has everything.
const (
	maxTextDetails = 20
	maxTextValue   = 80 // characters
)

// Text prints the report for a person; columns says whether to list them.
func (r *Report) Text(w io.Writer, columns bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	r.textHead(tw)
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, section := range []func(io.Writer) bool{
		func(w io.Writer) bool { return r.textTables(w, columns) }, r.textTimes, r.textAttachments, r.textDetails, r.textProblems,
	} {
		var b strings.Builder
		tw.Init(&b, 0, 0, 2, ' ', 0)
		if !section(tw) {
			continue
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "\n"+trimLines(b.String())); err != nil {
			return err
		}
	}
	return nil
}

// trimLines drops the blanks that empty last cells leave.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (r *Report) textHead(w io.Writer) {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, key+"\t"+format+"\n", args...) }
	line("recording", "%s", r.URI)
	line("size", "%s (%d bytes)", Bytes(r.Size), r.Size)
	format := r.Format
	for _, s := range []string{r.Version, r.Profile} {
		if s != "" {
			format += " " + s
		}
	}
	line("format", "%s", plain(format))
	if r.Writer != "" {
		line("written by", "%s", shorten(r.Writer))
	}
	if r.Indexed {
		line("index", "yes")
	} else {
		line("index", "no: the recording was scanned")
	}
	if r.Start != "" {
		line("start", "%s", r.Start)
		line("end", "%s", r.End)
		line("duration", "%s", time.Duration(r.DurationNs))
	}
	line("rows", "%s", count(r.Rows))
	for _, c := range r.Compression {
		ratio := ""
		if c.Compressed > 0 && c.Raw > 0 {
			about := ""
			if c.Estimated {
				about = "about "
			}
			ratio = fmt.Sprintf(", %s%s stored, %s%s unpacked, ratio %s%.2f", about, Bytes(c.Compressed), about, Bytes(c.Raw), about, float64(c.Raw)/float64(c.Compressed))
		}
		line("compression", "%s: %d chunks%s", plain(c.Codec), c.Chunks, ratio)
	}
	if r.Overlapping > 0 {
		line("overlap", "%d chunks begin before an earlier one has ended", r.Overlapping)
	}
	for _, k := range sortedNames(r.Attributes) {
		line("attribute", "%s = %s", k, shorten(r.Attributes[k]))
	}
}

func (r *Report) textTables(w io.Writer, columns bool) bool {
	fmt.Fprintln(w, "TABLE\tROWS\tHZ\tENCODING\tSCHEMA\tCOLUMNS")
	for _, t := range r.Tables {
		rate := ""
		if t.RateHz > 0 {
			rate = fmt.Sprintf("%.2f", t.RateHz)
		}
		var notes []string
		if t.Raw {
			notes = append(notes, "raw")
		}
		if t.Latched {
			notes = append(notes, "latched")
		}
		enc := t.Encoding
		if notes != nil {
			enc = strings.TrimSpace(enc + " (" + strings.Join(notes, ", ") + ")")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", plain(t.Name), count(t.Rows), rate, plain(enc), plain(t.Schema), len(t.Columns))
		if columns {
			for _, c := range t.Columns {
				fmt.Fprintf(w, "  %s\t%s\t\t\t%s\t\n", plain(c.Name), c.Type, plain(c.Unit))
			}
		}
	}
	return true
}

// textTimes prints the clocks; times of the day at which the recording starts
// go without a date.
func (r *Report) textTimes(w io.Writer) bool {
	if !r.Deep {
		return false
	}
	day, _, _ := strings.Cut(r.Start, "T")
	clock := func(s string) string {
		s = s[:max(0, len(s)-len("000Z"))] // microseconds do for a person
		if date, t, ok := strings.Cut(s, "T"); ok && date == day {
			return t
		}
		return s
	}
	fmt.Fprintln(w, "CLOCKS\tCLOCK\tFIRST\tLAST\tUSUAL STEP\tLARGEST GAP\tGAPS\tBACK\tLOG IS LATER BY")
	some := false
	for _, t := range r.Tables {
		name := plain(t.Name)
		for _, c := range t.Times {
			some = true
			step, gap, offset := "", "", ""
			if c.Rows > 1 {
				step, gap = brief(c.MedianNs), brief(c.LargestGapNs)
			}
			if o := c.Offset; o != nil {
				offset = fmt.Sprintf("%s (%s to %s)", brief(o.MeanNs), brief(o.MinNs), brief(o.MaxNs))
				if o.DriftPPM != nil {
					offset += fmt.Sprintf(", drift %.1f ppm", *o.DriftPPM)
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", name, c.Name, clock(c.First), clock(c.Last), step, gap, c.Gaps, c.Backwards, offset)
			name = ""
		}
	}
	return some
}

func (r *Report) textAttachments(w io.Writer) bool {
	fmt.Fprintln(w, "ATTACHMENT\tNAME\tSIZE\tTYPE\tTIME")
	for _, a := range r.Attachments {
		size := "unknown"
		if a.Size >= 0 {
			size = Bytes(a.Size)
		}
		if a.External != "" {
			size = "outside: " + shorten(a.External)
		}
		fmt.Fprintf(w, "#%d\t%s\t%s\t%s\t%s\n", a.Number, shorten(a.Name), size, shorten(a.MediaType), a.Time)
	}
	return len(r.Attachments) > 0
}

// ListAttachments prints the attachments for a person.
func (r *Report) ListAttachments(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if !r.textAttachments(tw) {
		_, err := fmt.Fprintln(w, "no attachments")
		return err
	}
	return tw.Flush()
}

func (r *Report) textDetails(w io.Writer) bool {
	for i, d := range r.Details {
		if i == maxTextDetails {
			fmt.Fprintf(w, "and %d more, which --json prints\n", len(r.Details)-i)
			break
		}
		var fields []string
		for _, f := range d.Fields {
			fields = append(fields, f.Name+"="+f.Value)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.Kind, shorten(d.Name), shorten(strings.Join(fields, ", ")))
	}
	return len(r.Details) > 0
}

func (r *Report) textProblems(w io.Writer) bool {
	fmt.Fprintln(w, "PROBLEM\tTABLE\tOFFSET\tDETAIL")
	for _, p := range r.Problems {
		off, kind := "", p.Kind
		if p.Offset != nil {
			off = fmt.Sprint(*p.Offset)
		}
		if p.Loses {
			kind += " (rows missing)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", kind, plain(p.Table), off, plain(p.Detail))
	}
	return len(r.Problems) > 0
}

// plain leaves out of a text of the file what a terminal might obey.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}, s)
}

// shorten makes a text of the file fit on a line of a terminal.
func shorten(s string) string {
	s = strings.Join(strings.Fields(plain(s)), " ")
	if utf8.RuneCountInString(s) > maxTextValue {
		s = string([]rune(s)[:maxTextValue-1]) + "…"
	}
	return s
}

// brief writes nanoseconds with three digits or four.
func brief(ns int64) string {
	d := time.Duration(ns)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		switch a := time.Duration(abs(ns)); {
		case a >= 100*unit:
			return d.Round(unit).String()
		case a >= 10*unit:
			return d.Round(unit / 10).String()
		case a >= unit:
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

func count(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// Bytes writes a number of bytes for a person, in binary units.
func Bytes(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

func sortedNames(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

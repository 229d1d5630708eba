package explore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

// ExtractOptions say which attachments to write, and where to.
type ExtractOptions struct {
	Format string // empty: found by looking
	// Attachments are names, or numbers with a # in front; none: all that lie
	// in the recording.
	Attachments []string
	// Folder to write files into; it is made if need be. Files that are there
	// are left alone.
	Folder string
	// Output, where not nil, is given the bytes of the only attachment instead.
	Output io.Writer
}

// Extracted is one attachment that was written.
type Extracted struct {
	AttachmentReport
	Path  string
	Bytes int64
}

// Extract writes attachments of a recording. Names of files are made from those
// of attachments, which are never taken for paths. A file whose checksum turns
// out to be wrong is removed.
func Extract(ctx context.Context, reg *pipeline.Registry, src pipeline.Source, opt ExtractOptions) ([]Extracted, error) {
	spec, d, err := describe(ctx, reg, src, opt.Format)
	if err != nil {
		return nil, err
	}
	picked, err := pickAttachments(d, opt.Attachments)
	if err != nil {
		return nil, err
	}
	if opt.Output != nil && len(picked) != 1 {
		return nil, &pipeline.Issue{Message: fmt.Sprintf("%d attachments are meant, but one fits into a stream: choose with --attachment: %s", len(picked), attachmentNames(d))}
	}
	x, ok := spec.Format.(pipeline.Extractor)
	if !ok && len(picked) > 0 {
		return nil, fmt.Errorf("%s: attachments of %s cannot be extracted: %w", src.Object().URI, d.Format, pipeline.ErrUnsupported)
	}
	if opt.Output == nil && len(picked) > 0 {
		if err := os.MkdirAll(opt.Folder, 0o777); err != nil {
			return nil, fmt.Errorf("making the folder of attachments: %w", err)
		}
	}
	names := fileNames(d.Attachments)
	var out []Extracted
	for _, i := range picked {
		e := Extracted{AttachmentReport: newAttachmentReport(i, d.Attachments[i])}
		if opt.Output != nil {
			e.Bytes, err = copyAttachment(ctx, x, src, d, i, opt.Output)
		} else {
			e.Path = filepath.Join(opt.Folder, names[i])
			e.Bytes, err = writeAttachment(ctx, x, src, d, i, e.Path)
		}
		if err != nil {
			return out, fmt.Errorf("extracting attachment #%d: %w", i+1, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func newAttachmentReport(i int, a pipeline.Attachment) AttachmentReport {
	r := AttachmentReport{Number: i + 1, Name: a.Name, MediaType: a.MediaType, Size: a.Size, External: a.External}
	if a.HasTime {
		r.Time = stamp(a.Time)
	}
	return r
}

// pickAttachments finds the attachments that are asked for, each once.
func pickAttachments(d *pipeline.Description, asked []string) ([]int, error) {
	var out []int
	if len(asked) == 0 {
		for i, a := range d.Attachments {
			if a.External == "" {
				out = append(out, i)
			}
		}
		return out, nil
	}
	taken := make(map[int]bool)
	for _, name := range asked {
		found := false
		for i, a := range d.Attachments {
			n, err := strconv.Atoi(strings.TrimPrefix(name, "#"))
			if a.Name != name && (err != nil || name[0] != '#' || n != i+1) {
				continue
			}
			found = true
			if !taken[i] {
				taken[i] = true
				out = append(out, i)
			}
		}
		if !found {
			var names []string
			for _, a := range d.Attachments {
				names = append(names, a.Name)
			}
			return nil, &pipeline.Issue{Message: fmt.Sprintf("no attachment is called %q; there are: %s", name, attachmentNames(d)), Suggestion: pipeline.Nearest(name, names)}
		}
	}
	return out, nil
}

func attachmentNames(d *pipeline.Description) string {
	if len(d.Attachments) == 0 {
		return "none"
	}
	var names []string
	for i, a := range d.Attachments {
		names = append(names, fmt.Sprintf("#%d %s", i+1, shorten(a.Name)))
	}
	return strings.Join(names, ", ")
}

// maxFileName is the longest name of a file, in bytes, that all systems take.
const maxFileName = 200

// fileNames makes the names of files for all attachments, each different from
// the others also where case does not count. They do not depend on which
// attachments are asked for.
func fileNames(attachments []pipeline.Attachment) []string {
	taken := make(map[string]bool)
	out := make([]string, len(attachments))
	for i, a := range attachments {
		name := fileName(a.Name)
		ext := filepath.Ext(name)
		stem := strings.TrimSuffix(name, ext)
		for n := 2; taken[strings.ToLower(name)]; n++ {
			name = fmt.Sprintf("%s-%d%s", stem, n, ext)
		}
		taken[strings.ToLower(name)] = true
		out[i] = name
	}
	return out
}

// fileName makes the name of a file from one in a recording: what follows the
// last separator of any system, without what a system forbids or treats
// specially.
func fileName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || !unicode.IsPrint(c) || c == utf8.RuneError || strings.ContainsRune(`<>:"|?*`, c) {
			return '_'
		}
		return c
	}, s)
	s = strings.TrimRight(strings.TrimLeft(s, ". "), ". ")
	if ext := filepath.Ext(s); len(s) > maxFileName {
		if len(ext) > 20 {
			ext = ""
		}
		s = strings.TrimRight(strings.ToValidUTF8(s[:maxFileName-len(ext)], "")+ext, ". ")
	}
	switch stem, _, _ := strings.Cut(strings.ToUpper(s), "."); {
	case s == "":
		return "attachment"
	case stem == "CON", stem == "PRN", stem == "AUX", stem == "NUL",
		len(stem) == 4 && (stem[:3] == "COM" || stem[:3] == "LPT") && stem[3] >= '0' && stem[3] <= '9':
		return "_" + s
	}
	return s
}

// writeAttachment writes a file that must not be there yet.
func writeAttachment(ctx context.Context, x pipeline.Extractor, src pipeline.Source, d *pipeline.Description, i int, path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("%s is there already and is left as it is: %w", path, pipeline.ErrExists)
	}
	if err != nil {
		return 0, err
	}
	n, err := copyAttachment(ctx, x, src, d, i, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return n, errors.Join(err, os.Remove(path))
	}
	return n, nil
}

func copyAttachment(ctx context.Context, x pipeline.Extractor, src pipeline.Source, d *pipeline.Description, i int, w io.Writer) (int64, error) {
	rc, err := x.OpenAttachment(ctx, src, d, i)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, rc)
	return n, errors.Join(err, rc.Close())
}

package rosbag2

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

var _ pipeline.Assembler = (*Format)(nil)

// fileName is what the name of a storage file tells.
type fileName struct {
	stem    string // without number and extension
	number  int    // -1 without one
	storage string // sqlite3, mcap
	zstd    bool
}

// parseName takes the name of a storage file apart: stem_3.db3.zstd.
func parseName(name string) (f fileName, ok bool) {
	rest := name
	if rest, f.zstd = strings.CutSuffix(rest, ".zstd"); !f.zstd {
		rest, f.zstd = strings.CutSuffix(rest, ".zst")
	}
	ext := path.Ext(rest)
	switch strings.ToLower(ext) {
	case ".db3":
		f.storage = storageSQLite
	case ".mcap":
		f.storage = storageMCAP
	default:
		return fileName{}, false
	}
	f.stem, f.number = strings.TrimSuffix(rest, ext), -1
	if i := strings.LastIndexByte(f.stem, '_'); i >= 0 {
		if n, err := strconv.Atoi(f.stem[i+1:]); err == nil && n >= 0 {
			f.stem, f.number = f.stem[:i], n
		}
	}
	return f, true
}

// Assemble finds recordings of several files: the storage files of a folder
// whose metadata.yaml was matched; stem_0.db3, stem_1.db3, ... in one folder;
// and the same with .mcap in a folder called stem, as the recorder names them.
func (f *Format) Assemble(ctx context.Context, matched []pipeline.Object, folder func(ctx context.Context, key string) ([]pipeline.Object, error)) ([]pipeline.Assembly, error) {
	byFolder := make(map[string][]pipeline.Object)
	var folders []string
	for _, o := range matched {
		dir := path.Dir(o.Key)
		if byFolder[dir] == nil {
			folders = append(folders, dir)
		}
		byFolder[dir] = append(byFolder[dir], o)
	}
	var out []pipeline.Assembly
	for _, dir := range folders {
		objects := byFolder[dir]
		at := slices.IndexFunc(objects, func(o pipeline.Object) bool { return path.Base(o.Key) == MetadataFile })
		if at < 0 {
			out = append(out, splits(objects)...)
			continue
		}
		all, err := folder(ctx, objects[at].Key)
		if err != nil {
			return nil, err
		}
		files := storageFiles(all)
		if len(files) == 0 {
			continue
		}
		out = append(out, pipeline.Assembly{Key: dir, Objects: slices.Concat(files, []pipeline.Object{objects[at]}, journals(all))})
	}
	return out, nil
}

// splits groups the parts of split recordings without metadata.yaml.
func splits(objects []pipeline.Object) []pipeline.Assembly {
	groups := make(map[fileName][]pipeline.Object)
	var keys []fileName
	for _, o := range objects {
		n, ok := parseName(path.Base(o.Key))
		if !ok || n.number < 0 || n.storage == storageMCAP && n.stem != base(path.Dir(strings.ReplaceAll(o.URI, `\`, "/"))) {
			continue
		}
		n.number = 0
		if groups[n] == nil {
			keys = append(keys, n)
		}
		groups[n] = append(groups[n], o)
	}
	var out []pipeline.Assembly
	for _, k := range keys {
		if files := storageFiles(groups[k]); len(files) > 1 {
			out = append(out, pipeline.Assembly{Key: files[0].Key, Objects: files})
		}
	}
	return out
}

// journals picks the files that SQLite leaves beside databases. They are not
// read, but whoever names the folder names them too.
func journals(objects []pipeline.Object) (out []pipeline.Object) {
	for _, o := range objects {
		if isJournal(path.Base(o.Key)) {
			out = append(out, o)
		}
	}
	return out
}

func isJournal(name string) bool {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if db, ok := strings.CutSuffix(name, suffix); ok {
			_, ok = parseName(db)
			return ok
		}
	}
	return false
}

// storageFiles picks the storage files out of a folder, in reading order: by
// stem, number, and name.
func storageFiles(objects []pipeline.Object) []pipeline.Object {
	type named struct {
		fileName
		obj pipeline.Object
	}
	var files []named
	for _, o := range objects {
		if n, ok := parseName(path.Base(o.Key)); ok {
			files = append(files, named{n, o})
		}
	}
	slices.SortFunc(files, func(a, b named) int {
		return cmp.Or(strings.Compare(a.stem, b.stem), cmp.Compare(a.number, b.number), strings.Compare(a.obj.Key, b.obj.Key))
	})
	out := make([]pipeline.Object, len(files))
	for i, f := range files {
		out[i] = f.obj
	}
	return out
}

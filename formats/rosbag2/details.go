package rosbag2

import (
	"slices"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// attributeKeys are the keys of custom_data that are attributes.
var attributeKeys = []string{"vehicle_id", "drive_id", "logger", "campaign"}

// details tells what the metadata says beside tables.
func (x *describer) details() {
	d := x.d
	d.Writer = x.writer
	var fields []pipeline.DetailField
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, pipeline.DetailField{Name: name, Value: value})
		}
	}
	add("storage", x.rec.storage)
	if m := x.meta; m != nil {
		d.Version = strconv.Itoa(m.Version)
		add("version", d.Version)
		add("compression_mode", strings.ToLower(m.Mode))
		add("compression_format", m.Codec)
		add("message_count", strconv.FormatInt(m.Messages, 10))
	}
	if db := x.rec.parts[0].db; db != nil {
		if d.Version == "" {
			d.Version = "schema " + strconv.Itoa(db.version)
		}
		add("schema_version", strconv.Itoa(db.version))
	}
	add("ros_distro", x.distroName())
	d.Details = append(d.Details, pipeline.Detail{Kind: "metadata", Name: "rosbag2", Fields: fields})
	if m := x.customData(); m != nil && len(m.custom) > 0 {
		d.Details = append(d.Details, pipeline.Detail{Kind: "metadata", Name: "custom_data", Fields: m.custom})
		for _, f := range m.custom {
			if slices.Contains(attributeKeys, f.Name) {
				if d.Attributes == nil {
					d.Attributes = make(map[string]string)
				}
				d.Attributes[f.Name] = f.Value
			}
		}
	}
	if m := x.meta; x.whole && !x.missing && !x.unlisted && d.HasTime && m.Messages > 0 {
		end := m.Start.Nanoseconds + m.Duration.Nanoseconds
		if m.Start.Nanoseconds != d.Start || end != d.End {
			x.problem("metadata_mismatch", "", false, "%s tells of the time from %d to %d ns, the files of %d to %d", MetadataFile, m.Start.Nanoseconds, end, d.Start, d.End)
		}
	}
}

// distroName is the distribution of ROS that recorded: as metadata.yaml has it,
// else as the first file has it.
func (x *describer) distroName() string {
	if x.meta != nil && x.meta.Distro != "" {
		return x.meta.Distro
	}
	return x.distro
}

// customData is the metadata that tells of custom data.
func (x *describer) customData() *metadata {
	if x.meta != nil {
		return x.meta
	}
	return x.rec.parts[0].db.metadata()
}

func (db *database) metadata() *metadata {
	if db == nil {
		return nil
	}
	return db.meta
}

package mcap

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// Config are the settings of the format in a pipeline.
type Config struct {
	Attributes map[string]string `yaml:"attributes" doc:"Attributes to take from metadata records, each as RECORD:KEY." example:"{vehicle_id: \"vehicle_info:vin\"}"`
}

// place is where a value stands in the metadata of a file.
type place struct{ record, key string }

var attributeName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// configure returns a format that reads attributes where config says.
func configure(encodings []message.Encoding) func(context.Context, any, pipeline.Env) (pipeline.Format, error) {
	return func(_ context.Context, config any, _ pipeline.Env) (pipeline.Format, error) {
		f := New(encodings...)
		f.attributes = make(map[string]place)
		for _, name := range slices.Sorted(maps.Keys(config.(*Config).Attributes)) {
			v := config.(*Config).Attributes[name]
			// Keys seldom hold a colon, names of records sometimes do.
			at := strings.LastIndexByte(v, ':')
			switch {
			case !attributeName.MatchString(name):
				return nil, &pipeline.Issue{Message: fmt.Sprintf("formats.mcap.attributes: %q cannot be the name of an attribute: want a-z, 0-9 and _", name)}
			case at < 0 || at == len(v)-1:
				return nil, &pipeline.Issue{Message: fmt.Sprintf("formats.mcap.attributes.%s: %q: want RECORD:KEY, as in vehicle_info:vin", name, v)}
			}
			f.attributes[name] = place{v[:at], v[at+1:]}
		}
		return f, nil
	}
}

// tellsAttributes reports whether metadata records of that name are read for
// attributes.
func (f *Format) tellsAttributes(record string) bool {
	if record == attributesName {
		return true
	}
	for _, p := range f.attributes {
		if p.record == record {
			return true
		}
	}
	return false
}

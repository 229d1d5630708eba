package store

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Find calls fn for every object that matches pattern, in bytewise order of
// key, with what its captures hold. The store is opened at the root of the
// pattern, and only keys with the pattern's literal prefix are listed. A
// pattern without wildcards is looked up, and fails with ErrNotFound when there
// is no such object; one with wildcards may find nothing.
func Find(ctx context.Context, open func(ctx context.Context, uri string) (pipeline.Store, error), pattern *Pattern,
	fn func(obj pipeline.Object, captures map[string]string) error) error {
	s, err := open(ctx, pattern.root)
	if err != nil {
		return err
	}
	if pattern.match == nil {
		obj, err := s.Stat(ctx, pattern.prefix)
		if err != nil {
			return fmt.Errorf("finding %s: %w", pattern.text, err)
		}
		return fn(obj, map[string]string{})
	}
	return s.List(ctx, pattern.prefix, func(obj pipeline.Object) error {
		captures, ok := pattern.Match(obj.Key)
		if !ok {
			return nil
		}
		return fn(obj, captures)
	})
}

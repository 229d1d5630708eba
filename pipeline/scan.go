package pipeline

import "context"

type scanNoticeKey struct{}

// WithScanNotice returns a context under which formats tell notice, before
// they begin, of objects that they have to read as a whole only to find out
// what is in them, because no index says so. It may be called by many
// goroutines at once.
func WithScanNotice(ctx context.Context, notice func(Object)) context.Context {
	return context.WithValue(ctx, scanNoticeKey{}, notice)
}

// NoteScan tells whoever asked with WithScanNotice that a scan of obj begins.
func NoteScan(ctx context.Context, obj Object) {
	if notice, ok := ctx.Value(scanNoticeKey{}).(func(Object)); ok {
		notice(obj)
	}
}

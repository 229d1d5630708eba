package store_test

import (
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/store"
)

func TestOpenRoots(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1")
	for uri, root := range map[string]string{
		"s3://bucket":              "s3://bucket",
		"s3://bucket/":             "s3://bucket",
		"s3://bucket/a/b/":         "s3://bucket/a/b",
		"file:///a/b/":             "/a/b",
		"file://localhost/a":       "/a",
		"file:///a%20b":            "/a%20b",
		"/":                        "/",
		"/a//b/../c":               "/a/c",
		"lake":                     "lake",
		"./lake/":                  "lake",
		".":                        ".",
		"../x":                     "../x",
		"mem://open-roots":         "mem://open-roots",
		"mem://open-roots/a/b/":    "mem://open-roots/a/b",
		"a:b":                      "a:b",
		"s3://bucket/drive_date=1": "s3://bucket/drive_date=1",
	} {
		if got := open(t, uri).Root(); got != root {
			t.Errorf("%s: root %q, want %q", uri, got, root)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for uri, want := range map[string]string{
		"":               "empty",
		"gs://b/x":       `unknown scheme "gs" (known are s3://bucket/prefix, file:///directory, mem://name, or a plain path)`,
		"s3://":          "no bucket",
		"s3:///x":        "no bucket",
		"mem://":         "no name",
		"file://data/x":  "absolute",
		"https://x/y":    "unknown scheme",
		"S3://bucket/up": "unknown scheme",
	} {
		if _, err := store.Open(t.Context(), uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", uri, err, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for uri, want := range map[string][2]string{
		"s3://b/a/x.bag":       {"s3://b/a", "x.bag"},
		"s3://b/x[1].bag":      {"s3://b", "x[1].bag"},
		"/data/{x}.bag":        {"/data", "{x}.bag"},
		"x.bag":                {".", "x.bag"},
		"/x.bag":               {"/", "x.bag"},
		"file:///data/x.bag":   {"/data", "x.bag"},
		"mem://m/a/b//c/x.bag": {"mem://m/a/b//c", "x.bag"},
	} {
		root, key, err := store.Split(uri)
		if err != nil || root != want[0] || key != want[1] {
			t.Errorf("%s: %q, %q, %v", uri, root, key, err)
		}
	}
	for _, uri := range []string{"s3://b", "s3://b/", "/data/", "", "gs://b/x"} {
		if _, _, err := store.Split(uri); err == nil {
			t.Errorf("%q is split", uri)
		}
	}
}

// Two views of one memory store see the same objects.
func TestMemoryIsShared(t *testing.T) {
	if err := open(t, "mem://shared/a").Put(t.Context(), "b/x", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, "mem://shared/a/b").Get(t.Context(), "x"); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := open(t, "mem://other/a").Stat(t.Context(), "b/x"); err == nil {
		t.Error("another store has the object")
	}
}

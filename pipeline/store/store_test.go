package store_test

import (
	"crypto/rand"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
	"github.com/drivemill/drivemill/pipeline/store"
)

func open(t testing.TB, uri string) pipeline.Store {
	t.Helper()
	s, err := store.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDirectory(t *testing.T) {
	pipetest.Store(t, func(t *testing.T) pipeline.Store { return open(t, t.TempDir()+"/not/there/yet") })
}

func TestMemory(t *testing.T) {
	pipetest.Store(t, func(t *testing.T) pipeline.Store { return open(t, "mem://"+rand.Text()) })
}

func TestS3(t *testing.T) {
	pipetest.Store(t, func(t *testing.T) pipeline.Store {
		return open(t, "s3://"+s3server.Start(t).Bucket)
	})
}

func TestS3BelowPrefix(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite of TestS3 once more")
	}
	pipetest.Store(t, func(t *testing.T) pipeline.Store {
		s := s3server.Start(t)
		// Neighbours that share the beginning of the prefix are not seen.
		if err := open(t, "s3://"+s.Bucket).Put(t.Context(), "lakes/one-more", nil); err != nil {
			t.Fatal(err)
		}
		return open(t, "s3://"+s.Bucket+"/lakes/one")
	})
}

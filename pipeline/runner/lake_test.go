package runner

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// A sweep leaves the files of the revision it removes when another process has
// claimed to bring that revision back: it may have published them by now.
func TestSweepSparesClaimedFiles(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://sweep-test")
	if err != nil {
		t.Fatal(err)
	}
	const slot = "0123456789abcdef"
	put := func(key string, v any) {
		t.Helper()
		data, err := json.Marshal(v)
		if err == nil {
			err = st.Put(ctx, key, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record := func(seq int, rev string, keys ...string) {
		k := lineage.CommitKey{Slot: slot, Sequence: seq, Revision: rev}
		c := lineage.Commit{Layout: 1, Slot: slot, Revision: rev, Sequence: seq, Tables: []lineage.Table{{}}}
		for _, key := range keys {
			put(key, "")
			c.Tables[0].Files = append(c.Tables[0].Files, pipeline.File{Key: key})
		}
		put(k.ClaimKey(), lineage.Claim{Revision: rev, Keys: keys})
		put(k.String(), c)
	}
	record(1, "aaaaaaaaaaaa", "t/a1.parquet", "t/a2.parquet")
	record(2, "bbbbbbbbbbbb", "t/b.parquet")
	back := lineage.CommitKey{Slot: slot, Sequence: 3}
	put(back.ClaimKey(), lineage.Claim{Revision: "aaaaaaaaaaaa", Keys: []string{"t/a1.parquet"}})

	l := &lake{root: st.Root(), store: st}
	sw, err := l.sweep(ctx, nil, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(sw.Files) != 1 || sw.Files[0] != "t/a2.parquet" {
		t.Errorf("removed %v, want t/a2.parquet alone", sw.Files)
	}
	if !l.contested()[slot] {
		t.Error("the slot is not contested, although a claim follows its record")
	}
}

// settledStore settles a claim of another process right after it was in the
// way of ours.
type settledStore struct {
	pipeline.Store
	claim  string
	settle func()
}

func (s *settledStore) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	err := s.Store.PutIfAbsent(ctx, key, data)
	if key == s.claim && s.settle != nil {
		s.settle()
		s.settle = nil
	}
	return err
}

// The same work done and settled by another process, while we try for its
// place, gives no second record.
func TestClaimOfSettledTwin(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://claim-twin")
	if err != nil {
		t.Fatal(err)
	}
	const slot, rev = "0123456789abcdef", "aaaaaaaaaaaa"
	k := lineage.CommitKey{Slot: slot, Sequence: 1, Revision: rev}
	if err := st.Put(ctx, k.ClaimKey(), []byte(`{"revision":"aaaaaaaaaaaa"}`)); err != nil {
		t.Fatal(err)
	}
	settle := func() {
		if err := st.Put(ctx, k.String(), []byte("{}")); err != nil {
			t.Error(err)
		}
		if err := st.Delete(ctx, k.ClaimKey()); err != nil {
			t.Error(err)
		}
	}
	l := &lake{root: st.Root(), store: &settledStore{Store: st, claim: k.ClaimKey(), settle: settle}}
	got, err := l.claim(ctx, slot, rev, 0, nil, nil)
	if err != nil || got != k {
		t.Errorf("claimed %+v, %v", got, err)
	}
	if claims, err := l.listClaims(ctx, slot); err != nil || len(claims) != 0 {
		t.Errorf("claims %v, %v", claims, err)
	}
}

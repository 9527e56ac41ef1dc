package store

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store/stream"
)

func snapshotsOf(t testing.TB, s *Store) *Snapshots {
	t.Helper()
	n, err := s.Snapshots(1, stateOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var configuration = raft.Configuration{Servers: []raft.Server{{ID: "n1-x", Address: "10.0.0.1:7900"}}}

func create(t testing.TB, n *Snapshots, index uint64) raft.SnapshotSink {
	t.Helper()
	k, err := n.Create(1, index, 3, configuration, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// receive gives a snapshot its data, in pieces.
func receive(t testing.TB, n *Snapshots, index uint64, b []byte) (string, error) {
	t.Helper()
	k := create(t, n, index)
	if _, err := io.CopyBuffer(k, struct{ io.Reader }{bytes.NewReader(b)}, make([]byte, 3000)); err != nil {
		return "", errors.Join(err, k.Cancel())
	}
	return k.ID(), k.Close()
}

// files are the names in the shard's directory.
func files(t testing.TB, s *Store) string {
	t.Helper()
	names, err := s.o.FS.List(s.path("snapshots", "1"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, n := range names {
		kinds = append(kinds, n[strings.IndexByte(n, '.')+1:])
	}
	return strings.Join(kinds, " ")
}

func readAll(t testing.TB, n *Snapshots, id string) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	meta, r, err := n.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || int64(len(b)) != meta.Size {
		t.Fatalf("%d bytes instead of %d: %v", len(b), meta.Size, err)
	}
	return meta, b
}

func TestMarker(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	st, n := stateOf(t, s), snapshotsOf(t, s)
	filled(t, st, 10, 1)
	if err := create(t, n, 11).Close(); err == nil {
		t.Error("a marker ahead of what is durable was made")
	}
	if i, _ := n.Label(); i != 0 || files(t, s) != "" {
		t.Errorf("label %d, files %q", i, files(t, s))
	}
	if err := errors.Join(st.RaiseApplied(12, 3), s.FlushState(), create(t, n, 11).Close(), create(t, n, 12).Close()); err != nil {
		t.Fatal(err)
	}
	put(st, 13, "newer", "than the label")
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	st, n = stateOf(t, s), snapshotsOf(t, s)
	if i, tm := n.Label(); i != 12 || tm != 3 || files(t, s) != "label" {
		t.Errorf("label %d of term %d, files %q", i, tm, files(t, s))
	}
	if _, _, _, ok := n.Received(); ok {
		t.Error("a marker counts as received")
	}
	list, err := n.List()
	if err != nil || len(list) != 1 {
		t.Fatalf("%d snapshots: %v", len(list), err)
	}
	meta, b := readAll(t, n, list[0].ID)
	if meta.Index != 12 || meta.Term != 3 || meta.ConfigurationIndex != 1 || !cmp.Equal(meta.Configuration, configuration) {
		t.Errorf("meta is %+v", meta)
	}
	other := open(t, vfs.NewMem())
	defer shut(t, other)
	to := stateOf(t, other)
	if err := to.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(viewed(st), viewed(to)); d != "" {
		t.Error(d)
	}
}

func TestMarkerStreamMayBeGivenUp(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st, n := stateOf(t, s), snapshotsOf(t, s)
	filled(t, st, 10, 1)
	k := create(t, n, 10)
	if err := errors.Join(s.FlushState(), k.Close()); err != nil {
		t.Fatal(err)
	}
	_, r, err := n.Open(k.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReceived(t *testing.T) {
	b, want := streamOf(t, 105, 1)
	fs := vfs.NewMem()
	s := open(t, fs)
	n := snapshotsOf(t, s)
	id, err := receive(t, n, 100, b)
	if err != nil {
		t.Fatal(err)
	}
	// A marker that was under way when the snapshot arrived does not hide it.
	if err := create(t, n, 0).Close(); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, fs)
	st, n := stateOf(t, s), snapshotsOf(t, s)
	got, index, term, ok := n.Received()
	if got != id || index != 100 || term != 3 || !ok {
		t.Fatalf("received %q %d %d %v", got, index, term, ok)
	}
	if err := n.Restored(id); err == nil {
		t.Error("the data of a snapshot that is not in the state was given up")
	}
	if _, data := readAll(t, n, id); !bytes.Equal(data, b) {
		t.Error("the data has changed")
	}
	_, r, err := n.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(st.Restore(r), r.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, ok := n.Received(); ok {
		t.Error("a restored snapshot is to be restored again")
	}
	shut(t, s) // before Restored
	s = open(t, fs)
	defer shut(t, s)
	st, n = stateOf(t, s), snapshotsOf(t, s)
	if files(t, s) != "label" {
		t.Errorf("files are %q", files(t, s))
	}
	if i, _ := n.Label(); i != 100 {
		t.Errorf("label is %d", i)
	}
	if d := cmp.Diff(want, viewed(st)); d != "" {
		t.Error(d)
	}
	if _, data := readAll(t, n, id); !bytes.Equal(data, b) {
		t.Error("the marker's stream differs from the received one")
	}
}

func TestReceivedRefusesWhatIsWrong(t *testing.T) {
	good, _ := streamOf(t, 100, 1)
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	n := snapshotsOf(t, s)
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	for name, c := range map[string]struct {
		index uint64
		data  []byte
	}{
		"changed":      {100, bad},
		"cut short":    {100, good[:len(good)-1]},
		"longer":       {100, append(bytes.Clone(good), 0)},
		"behind label": {101, good},
	} {
		if _, err := receive(t, n, c.index, c.data); !errors.Is(err, stream.ErrBad) {
			t.Errorf("%s: %v", name, err)
		}
		if f := files(t, s); f != "" {
			t.Errorf("%s: files %q are left", name, f)
		}
	}
	k := create(t, n, 100)
	if _, err := k.Write(good[:5000]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Cancel(), k.Cancel(), k.Close()); err != nil || files(t, s) != "" {
		t.Errorf("cancelled: %v, files %q", err, files(t, s))
	}
	if err := create(t, n, 5).Cancel(); err != nil {
		t.Error(err)
	}
	if _, _, err := n.Open(k.ID()); err == nil {
		t.Error("a cancelled snapshot was opened")
	}
}

func TestSnapshotsRemoveLeftovers(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	st, n := stateOf(t, s), snapshotsOf(t, s)
	put(st, 10, "a", "1")
	if err := errors.Join(s.FlushState(), create(t, n, 10).Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0000000000000009-3-100.data", "0000000000000009-3-100.label.tmp"} {
		f, err := fs.Create(s.path("snapshots", "1", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	snapshotsOf(t, s)
	if f := files(t, s); f != "label" {
		t.Errorf("files are %q", f)
	}
}

func TestSnapshotsRefuseAnotherLineage(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	st, n := stateOf(t, s), snapshotsOf(t, s)
	put(st, 10, "a", "1")
	b := streamed(t, st)
	if err := errors.Join(s.FlushState(), create(t, n, 10).Close()); err != nil {
		t.Fatal(err)
	}
	// The same state as a new lineage: a restored backup.
	b = renamed(t, b, 8)
	if err := st.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if i, _ := st.Applied(); i != 8 || st.Lineage() != [16]byte{1} {
		t.Errorf("applied is %d", i)
	}
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	if _, err := s.Snapshots(1, stateOf(t, s)); !errors.Is(err, ErrLineage) {
		t.Errorf("got %v", err)
	}
}

// renamed is a stream with another lineage and applied index.
func renamed(t testing.TB, b []byte, applied uint64) []byte {
	t.Helper()
	in := stream.NewReader(bytes.NewReader(b))
	h, err := in.Header()
	if err != nil {
		t.Fatal(err)
	}
	h.Lineage, h.Applied = [16]byte{1}, applied
	var out bytes.Buffer
	w := stream.NewWriter(&out, h)
	if err := in.Body(w.Pair); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

package papers

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func owner(files vfs.FS) Owner {
	return Owner{FS: files, Dir: "data", Name: "n1", Cluster: "c1", Incarnation: "i1"}
}

func opened(t *testing.T, o Owner) *Papers {
	t.Helper()
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func write(t *testing.T, files vfs.FS, path string, text []byte) {
	t.Helper()
	f, err := files.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, files vfs.FS, path string) []byte {
	t.Helper()
	f, err := files.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestStagesSurviveALossOfPower(t *testing.T) {
	files := vfs.NewCrashableMem()
	p := opened(t, owner(files))
	if !p.Fresh() || p.RaftID() != "n1/i1" {
		t.Errorf("fresh %v, %s", p.Fresh(), p.RaftID())
	}
	for shard, stage := range map[uint16]Stage{0: Founding, 1: Held, 2: Blank, 3: Gone, 4: Wrong} {
		if err := p.Set(stage, shard); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.KeepMap([]byte(`{"version":7}`)); err != nil {
		t.Fatal(err)
	}
	again := owner(files.CrashClone(vfs.CrashCloneCfg{}))
	again.Cluster, again.Incarnation = "", "" // what init prepared is used up
	q := opened(t, again)
	if q.Fresh() || q.Cluster() != "c1" || q.RaftID() != "n1/i1" || !maps.Equal(q.id.Replicas, p.id.Replicas) {
		t.Errorf("after the crash: %+v", q.id)
	}
	if got := q.Replicas(); !slices.Equal(got, []uint16{0, 1, 2, 4}) {
		t.Errorf("replicas %v", got)
	}
	if text, err := q.Map(); err != nil || string(text) != "{\"version\":7}\n" {
		t.Errorf("map %q, %v", text, err)
	}
}

func TestOldPapersAreRead(t *testing.T) {
	files := vfs.NewMem()
	if err := files.MkdirAll("data", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, files, "data/id", []byte(`{"cluster":"c1","node":"n1","incarnation":"i1","shards":2,"founded":true}`))
	p := opened(t, owner(files))
	if !p.Old() || p.Stage(1) != Held || p.Stage(2) != Held || p.Stage(0) != None {
		t.Errorf("%+v", p.id)
	}
}

// No byte of the papers can change unnoticed.
func TestDamagedPapersAreRefused(t *testing.T) {
	files := vfs.NewMem()
	p := opened(t, owner(files))
	if err := p.Set(Held, 1, 2); err != nil {
		t.Fatal(err)
	}
	if err := p.KeepMap([]byte(`{"version":7}`)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "map"} {
		whole := read(t, files, "data/"+name)
		for i := range whole {
			for _, damaged := range [][]byte{flipped(whole, i), whole[:i]} {
				write(t, files, "data/"+name, damaged)
				q, err := Open(owner(files))
				if err == nil {
					_, err = q.Map()
				}
				if err == nil {
					t.Fatalf("%s, byte %d of %d: %q is taken", name, i, len(whole), damaged)
				}
			}
		}
		write(t, files, "data/"+name, whole)
	}
}

func flipped(text []byte, i int) []byte {
	text = slices.Clone(text)
	text[i] ^= 4
	return text
}

func TestWhoseDirectory(t *testing.T) {
	files := vfs.NewMem()
	opened(t, owner(files))
	for _, c := range []struct {
		change func(*Owner)
		says   string
	}{
		{func(o *Owner) { o.Name = "n2" }, "belongs to node n1"},
		{func(o *Owner) { o.Cluster = "c2" }, "belongs to cluster c1"},
		{func(o *Owner) { o.Incarnation = "i2" }, "another incarnation"},
		{func(o *Owner) { o.FS, o.Cluster = vfs.NewMem(), "" }, "cluster join"},
	} {
		o := owner(files)
		c.change(&o)
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("want %q: %v", c.says, err)
		}
	}
	bare := vfs.NewMem()
	if err := bare.MkdirAll("data/log", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(owner(bare)); err == nil || !strings.Contains(err.Error(), "no id file") {
		t.Errorf("data without papers: %v", err)
	}
}

package store

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func markOf(t testing.TB, s *Store) *Mark {
	t.Helper()
	m, err := s.Mark(1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantMark(t testing.TB, m *Mark, term, index uint64) {
	t.Helper()
	if gt, gi := m.Value(); gt != term || gi != index {
		t.Errorf("mark is (%d, %d), want (%d, %d)", gt, gi, term, index)
	}
}

func TestMarkFollowsWithin100ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		s := open(t, fs)
		m := markOf(t, s)
		wantMark(t, m, 0, 0)
		m.Raise(1, 5)
		m.Raise(2, 3)
		m.Raise(1, 9)
		wantMark(t, m, 0, 0)
		time.Sleep(markEvery)
		synctest.Wait()
		wantMark(t, m, 2, 3)
		if err := m.Lower(1, 7); err != nil {
			t.Fatal(err)
		}
		wantMark(t, m, 1, 7)
		lost := fs.CrashClone(vfs.CrashCloneCfg{})
		m.Raise(1, 8)
		shut(t, s) // writes what was raised
		s = open(t, fs)
		wantMark(t, markOf(t, s), 1, 8)
		shut(t, s)
		s = open(t, lost)
		wantMark(t, markOf(t, s), 1, 7)
		shut(t, s)
	})
}

// scribble writes into the file of marks.
func scribble(t *testing.T, fs vfs.FS, offset int64, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite("data/marks/marks", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, offset)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestMarkSurvivesATornWrite(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	m := markOf(t, s)
	if err := errors.Join(m.Lower(1, 10), m.Lower(1, 20)); err != nil {
		t.Fatal(err)
	}
	torn := markOffset(1, m.seq)
	shut(t, s)
	scribble(t, fs, torn+20, []byte("torn"))
	s = open(t, fs)
	m = markOf(t, s)
	wantMark(t, m, 1, 10)
	if err := m.Lower(1, 15); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, fs)
	wantMark(t, markOf(t, s), 1, 15)
	shut(t, s)
}

func TestMarkRefusesADamagedOrLostFile(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, fs vfs.FS){
		"both slots": func(t *testing.T, fs vfs.FS) {
			for slot := range uint64(2) {
				scribble(t, fs, markOffset(1, slot), []byte("damage"))
			}
		},
		"lost": func(t *testing.T, fs vfs.FS) {
			if err := fs.Remove("data/marks/marks"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs)
			m := markOf(t, s)
			if err := errors.Join(m.Lower(1, 10), m.Lower(1, 20)); err != nil {
				t.Fatal(err)
			}
			shut(t, s)
			damage(t, fs)
			s = open(t, fs)
			defer shut(t, s)
			if _, err := s.Mark(1); !errors.Is(err, ErrMark) {
				t.Errorf("got %v", err)
			}
			if _, err := s.Mark(2); err != nil {
				t.Errorf("another shard: %v", err)
			}
		})
	}
}

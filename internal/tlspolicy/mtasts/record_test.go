package mtasts

import (
	"errors"
	"testing"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		texts []string
		id    string
		err   error
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", nil},
		{[]string{"v=STSv1;id=1"}, "1", nil},
		{[]string{"v=STSv1 ; id=a ; new=thing ;"}, "a", nil},
		{[]string{"v=STSv1; new=thing; id=b"}, "b", nil},
		{[]string{"v=STSv1; id=a; id=b"}, "a", nil},
		{[]string{"v=spf1 -all", "v=STSv1; id=c"}, "c", nil},
		{nil, "", ErrNoRecord},
		{[]string{"v=STSv1; id=a", "v=STSv1; id=b"}, "", ErrNoRecord},
		{[]string{"V=STSv1; id=a"}, "", ErrNoRecord},
		{[]string{"v=STSv2; id=a"}, "", ErrNoRecord},
		{[]string{"v=STSv10; id=a"}, "", ErrNoRecord},
		{[]string{" v=STSv1; id=a"}, "", ErrNoRecord},
		{[]string{"v=STSv1"}, "", ErrNoRecord},
		{[]string{"v=STSv1;"}, "", ErrBadRecord},
		{[]string{"v=STSv1; new=thing"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id="}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=a-b"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=123456789012345678901234567890123"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=a;; x=y"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=a; -x=y"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=a; x=y=z"}, "", ErrBadRecord},
		{[]string{"v=STSv1; id=a b"}, "", ErrBadRecord},
	} {
		id, err := ParseRecord(c.texts)
		if id != c.id || !errors.Is(err, c.err) {
			t.Errorf("%q: %q, %v", c.texts, id, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseRecord([]string{text})
		if err == nil && !recordID.MatchString(id) {
			t.Errorf("%q gives id %q", text, id)
		}
	})
}

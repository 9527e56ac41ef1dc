package order

import (
	"testing"
	"time"

	"quorumta/internal/mail"
)

func TestOrderBook(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var b Book
	if !b.None() || b.Mail(mail.Address{Local: "a", Domain: "x"}, "l", "d", now) != "" {
		t.Error("orders without notes")
	}
	l := Lesson{Site: "key", Connections: 3, Until: now.Add(time.Minute)}
	ends := b.Set([]Note{
		{Key: Key(Sender, "X.example."), Until: now.Add(time.Hour)},
		{Key: Key(Site, "key")},
		{Key: l.Key(), Value: l.Value(), Until: l.Until},
		{Key: "suspend/nothing/x"}, {Key: "learnt/x", Value: "{"}, {Key: "other/x"},
	})
	if !ends.Equal(l.Until) {
		t.Errorf("the first ends at %v", ends)
	}
	if from := (mail.Address{Local: "a", Domain: "x.EXAMPLE"}); b.Mail(from, "", "d", now) != "suspend/sender/x.example" || b.Mail(from, "", "d", now.Add(time.Hour)) != "" {
		t.Error("a domain of senders")
	}
	if b.Mail(mail.Address{}, "", "d", now) != "" || b.Site("key", nil, now) != "suspend/site/key" || b.Site("other", []string{"h"}, now) != "" {
		t.Error("sites")
	}
	if got := b.Lessons("key", now); len(got) != 1 || got[0].Connections != 3 || len(b.Lessons("key", l.Until)) != 0 {
		t.Errorf("%+v", got)
	}
}

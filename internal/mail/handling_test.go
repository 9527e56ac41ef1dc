package mail

import (
	"reflect"
	"testing"
)

func TestHandlingAdds(t *testing.T) {
	owner := Address{Local: "owner", Domain: "list.example"}
	list := Handling{Errors: &owner, Add: []string{"List-Id: <a>"}, Remove: []string{"DKIM-Signature"}, Data: "list"}
	both := list.And(Handling{Add: []string{"X-B: 2"}, Remove: []string{"X-*"}})
	want := Handling{Errors: &owner, Add: []string{"List-Id: <a>", "X-B: 2"}, Remove: []string{"DKIM-Signature", "X-*"}, Data: "list"}
	if !reflect.DeepEqual(both, want) {
		t.Errorf("got %+v", both)
	}
	if len(list.Add) != 1 {
		t.Errorf("the first was changed: %+v", list)
	}
	nobody := list.And(Handling{Errors: &Address{}, Data: "new"})
	if !nobody.Errors.IsNull() || nobody.Data != "new" {
		t.Errorf("a later router does not count: %+v", nobody)
	}
}

func TestHandlingKeys(t *testing.T) {
	a, same, other := Address{Local: "a"}, Address{Local: "a"}, Address{Local: "b"}
	keys := map[string]int{}
	for i, h := range []Handling{
		{}, {Errors: &a}, {Errors: &other}, {Errors: &Address{}}, {Add: []string{"X: 1"}}, {Remove: []string{"X: 1"}},
		{Add: []string{"X: 1", "Y: 2"}}, {Data: "X: 1"},
	} {
		if j, ok := keys[h.Key()]; ok {
			t.Errorf("%d and %d have the same key", i, j)
		}
		keys[h.Key()] = i
	}
	if (Handling{Errors: &a}).Key() != (Handling{Errors: &same}).Key() {
		t.Error("two that say the same have different keys")
	}
	if (Handling{}).Key() != "" || !(Handling{}).IsZero() {
		t.Error("nothing said has a key")
	}
}

func TestReturnPath(t *testing.T) {
	sender, owner := Address{Local: "s", Domain: "x"}, Address{Local: "owner", Domain: "x"}
	for _, test := range []struct {
		h            Handling
		sender, want Address
	}{
		{Handling{}, sender, sender},
		{Handling{Errors: &owner}, sender, owner},
		{Handling{Errors: &Address{}}, sender, Address{}},
		{Handling{Errors: &owner}, Address{}, Address{}},
	} {
		if got := test.h.ReturnPath(test.sender); got != test.want {
			t.Errorf("%+v of %v: got %v, want %v", test.h, test.sender, got, test.want)
		}
	}
}

package alerts

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// number is a float in JSON, and a text where JSON has no number for it: "NaN",
// "+Inf", "-Inf".
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(f)
}

func (n *number) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		return json.Unmarshal(b, (*float64)(n))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("value %.32q is no number", text)
	}
	*n = number(f)
	return nil
}

// plain is an Alert without methods, plainAlert its JSON.
type plain Alert

type plainAlert struct {
	*plain
	Value number `json:"value"`
}

// MarshalJSON writes every value, those that are no numbers among them.
func (a Alert) MarshalJSON() ([]byte, error) {
	return json.Marshal(plainAlert{(*plain)(&a), number(a.Value)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Alert) UnmarshalJSON(b []byte) error {
	x := plainAlert{plain: (*plain)(a), Value: number(a.Value)}
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	a.Value = float64(x.Value)
	return nil
}

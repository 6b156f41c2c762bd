package janitor

import "context"

// Holder tells what is still needed; see Options.Holds.
type Holder func(ctx context.Context) (map[string]Hold, error)

// HeldBy names who needs what f tells: the lowest sequence needed, by stream.
func HeldBy(by string, f func(ctx context.Context) (map[string]uint64, error)) Holder {
	return func(ctx context.Context) (map[string]Hold, error) {
		needed, err := f(ctx)
		if err != nil {
			return nil, err
		}
		holds := make(map[string]Hold, len(needed))
		for stream, from := range needed {
			holds[stream] = Hold{From: from, By: by}
		}
		return holds, nil
	}
}

// HoldsOf asks all, and gives the lowest hold of each stream.
func HoldsOf(all ...Holder) Holder {
	return func(ctx context.Context) (map[string]Hold, error) {
		lowest := map[string]Hold{}
		for _, ask := range all {
			holds, err := ask(ctx)
			if err != nil {
				return nil, err
			}
			for stream, h := range holds {
				if was, ok := lowest[stream]; !ok || h.From < was.From {
					lowest[stream] = h
				}
			}
		}
		return lowest, nil
	}
}

package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// problem turns an error of the queue's parts into an answer. What is not known
// is a 500: it tells its reason too, for whoever asks runs the process.
func problem(err error) error {
	var answered huma.StatusError
	status := http.StatusInternalServerError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered):
		return err
	case errors.Is(err, queue.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrConflict):
		status = http.StatusConflict
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, queue.ErrFull):
		status = http.StatusInsufficientStorage
	}
	return huma.NewError(status, err.Error())
}

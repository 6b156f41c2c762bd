package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/memory"
	"github.com/penstock-otel/penstock/pkg/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queue.Queue { return memory.New() }, queuetest.Options{})
}

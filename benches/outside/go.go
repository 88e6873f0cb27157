// Goroutines, on one OS thread: GOMAXPROCS=1.
package main

import (
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"
)

const rounds = 5

// report prints the median of what measure takes for one of count things, in nanoseconds.
func report(name string, count int, measure func() time.Duration) {
	var times []float64
	for i := 0; i < rounds; i++ {
		times = append(times, float64(measure().Nanoseconds())/float64(count))
	}
	sort.Float64s(times)
	fmt.Printf("%s %.1f\n", name, times[rounds/2])
}

func yields(n, count int) time.Duration {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	done.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			ready.Done()
			<-begin
			for turn := 0; turn < count/n; turn++ {
				runtime.Gosched()
			}
			done.Done()
		}()
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}

func spawn(count int) time.Duration {
	start := time.Now()
	done := make(chan int)
	for i := 0; i < count; i++ {
		go func() { done <- 1 }()
		<-done
	}
	return time.Since(start)
}

func batch(count int) time.Duration {
	start := time.Now()
	var done sync.WaitGroup
	for i := 0; i < count; i += 1000 {
		done.Add(1000)
		for j := 0; j < 1000; j++ {
			go done.Done()
		}
		done.Wait()
	}
	return time.Since(start)
}

func roundTrips(count int) time.Duration {
	ask, answer := make(chan int, 1), make(chan int, 1)
	go func() {
		for value := range ask {
			answer <- value
		}
	}()
	start := time.Now()
	for i := 0; i < count; i++ {
		ask <- i
		<-answer
	}
	close(ask)
	return time.Since(start)
}

func main() {
	for _, n := range []int{2, 100, 10000, 100000} {
		count := 1000000
		report(fmt.Sprintf("switch/go/%d", n), count, func() time.Duration { return yields(n, count) })
	}
	report("spawn/go", 300000, func() time.Duration { return spawn(300000) })
	report("spawn/go-batch", 300000, func() time.Duration { return batch(300000) })
	report("channel/go", 300000, func() time.Duration { return roundTrips(300000) })
}

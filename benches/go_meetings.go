// Question: what do locks, channels and select cost in Go, on one thread?
//
// A contender in the contests of locks and channels, which build it, and start it for each play, where Go is installed;
// what is not counted there is not counted here. Prints lines of a column and a value.
//
// Usage: go_meetings case [--test]
package main

import (
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

var test = len(os.Args) > 2 && os.Args[2] == "--test"

// scale gives so many repetitions; in a test as few as still mean something.
func scale(full int) int {
	if test && full > 64 {
		return 64
	}
	return full
}

func sampleCount() int {
	if test {
		return 1
	}
	return 5
}

// samples says what one of so many repetitions takes; one sample is to warm up.
func samples(column string, count int, parts int, operation func()) {
	for sample := 0; sample <= sampleCount(); sample++ {
		began := time.Now()
		for i := 0; i < count; i++ {
			operation()
		}
		if sample > 0 {
			say(column, float64(time.Since(began))/float64(count*parts))
		}
	}
}

func say(column string, value float64) {
	fmt.Printf("%s\t%g\n", column, value)
}

func lockAlone() {
	var lock sync.Mutex
	total := 0
	samples("ns for lock + unlock", scale(1_000_000), 1, func() {
		lock.Lock()
		total++
		lock.Unlock()
	})
}

func lockHeld(tasks int) {
	var lock sync.Mutex
	var all sync.WaitGroup
	var looked time.Time
	sample := scale(200_000)
	turns, handedOver, last := 0, 0, -1
	turn := func(number int) bool {
		lock.Lock()
		defer lock.Unlock()
		if turns == sample*(sampleCount()+1) {
			return false
		}
		turns++
		if last != number {
			handedOver++
		}
		last = number
		if turns%sample == 0 {
			if turns > sample {
				say("ns for a turn", float64(time.Since(looked))/float64(sample))
				say("% handed over", 100*float64(handedOver)/float64(sample))
			}
			looked, handedOver = time.Now(), 0
		}
		runtime.Gosched()
		return true
	}
	for number := 0; number < tasks; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			for turn(number) {
			}
		}(number)
	}
	all.Wait()
}

func roundTrip() {
	ask, answer := make(chan int, 1), make(chan int, 1)
	go func() {
		for number := range ask {
			answer <- number + 1
		}
	}()
	samples("ns for a round trip", scale(100_000), 1, func() {
		ask <- 1
		<-answer
	})
	close(ask)
}

func rendezvous() {
	channel := make(chan int)
	go func() {
		for range channel {
		}
	}()
	samples("ns for an item", scale(100_000), 1, func() { channel <- 1 })
	close(channel)
}

func oneshot() {
	samples("ns for a oneshot", scale(100_000), 1, func() {
		answer := make(chan int, 1)
		answer <- 1
		<-answer
	})
}

func oneshotAnswered() {
	requests := make(chan chan int, 1)
	go func() {
		for answer := range requests {
			answer <- 1
		}
	}()
	samples("ns for a oneshot", scale(100_000), 1, func() {
		answer := make(chan int, 1)
		requests <- answer
		<-answer
	})
	close(requests)
}

func throughput(senders, receivers, room int) {
	share := (scale(128_000) + senders - 1) / senders
	samples("ns for an item", 1, share*senders, func() {
		var sending, receiving sync.WaitGroup
		channel := make(chan int, room)
		sending.Add(senders)
		receiving.Add(receivers)
		for i := 0; i < receivers; i++ {
			go func() {
				for range channel {
				}
				receiving.Done()
			}()
		}
		for i := 0; i < senders; i++ {
			go func() {
				for item := 0; item < share; item++ {
					channel <- item
				}
				sending.Done()
			}()
		}
		sending.Wait()
		close(channel)
		receiving.Wait()
	})
}

// A selector waits for any of several channels, to which items are sent in a random order.
type selector struct {
	channels []chan int
	cases    []reflect.SelectCase
	order    []int
	sent     int
}

func newSelector(count int) *selector {
	s := &selector{}
	for i := 0; i < count; i++ {
		channel := make(chan int, 1)
		s.channels = append(s.channels, channel)
		s.cases = append(s.cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(channel)})
	}
	random := rand.New(rand.NewSource(1))
	for i := 0; i < 1024; i++ {
		s.order = append(s.order, random.Intn(count))
	}
	return s
}

func (s *selector) send(item int) {
	s.sent++
	s.channels[s.order[s.sent%len(s.order)]] <- item
}

func (s *selector) wait() int {
	c := s.channels
	switch len(c) {
	case 2:
		select {
		case item := <-c[0]:
			return item
		case item := <-c[1]:
			return item
		}
	case 8:
		select {
		case item := <-c[0]:
			return item
		case item := <-c[1]:
			return item
		case item := <-c[2]:
			return item
		case item := <-c[3]:
			return item
		case item := <-c[4]:
			return item
		case item := <-c[5]:
			return item
		case item := <-c[6]:
			return item
		case item := <-c[7]:
			return item
		}
	default:
		_, item, _ := reflect.Select(s.cases)
		return int(item.Int())
	}
}

// selections says how often one selects in a sample.
func selections(count int) int {
	if count <= 8 {
		return 50_000
	}
	return 6_000
}

func selectReady(count int) {
	own := newSelector(count)
	samples("ns for send + select", scale(selections(count)), 1, func() {
		own.send(1)
		own.wait()
	})
}

func selectWaits(count int) {
	own, others := newSelector(count), newSelector(count)
	go func() {
		for {
			own.send(others.wait())
		}
	}()
	samples("ns for send + select that waits", scale(selections(count)), 2, func() {
		others.send(1)
		own.wait()
	})
}

func main() {
	// A case, and perhaps numbers: lock-100, throughput-1-4-128.
	var name []string
	var numbers []int
	for _, word := range strings.Split(os.Args[1], "-") {
		if number, err := strconv.Atoi(word); err == nil {
			numbers = append(numbers, number)
		} else {
			name = append(name, word)
		}
	}
	switch strings.Join(name, "-") {
	case "lock-alone":
		lockAlone()
	case "lock":
		lockHeld(numbers[0])
	case "round-trip":
		roundTrip()
	case "rendezvous":
		rendezvous()
	case "oneshot":
		oneshot()
	case "oneshot-answered":
		oneshotAnswered()
	case "throughput":
		throughput(numbers[0], numbers[1], numbers[2])
	case "select-ready":
		selectReady(numbers[0])
	case "select-waits":
		selectWaits(numbers[0])
	default:
		fmt.Fprintln(os.Stderr, "nothing here is called", os.Args[1])
		os.Exit(1)
	}
}

// Boost.Fiber's fibers, with its own scheduler and stacks from a pool.

#include <boost/fiber/all.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

using namespace boost::fibers;
using Clock = std::chrono::steady_clock;

static double since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Prints the median of what `measure` takes for one of `count` things, in nanoseconds.
template <class F> static void report(const std::string &name, int count, F measure) {
    std::vector<double> times;
    for (int i = 0; i < 7; i++) times.push_back(measure(count));
    std::sort(times.begin(), times.end());
    std::printf("%s %.1f\n", name.c_str(), times[times.size() / 2] / count * 1e9);
    std::fflush(stdout);
}

static double yields(int n, int count) {
    auto turn = [=] {
        for (int i = 0; i < count / n; i++) boost::this_fiber::yield();
    };
    std::vector<fiber> all;
    for (int i = 1; i < n; i++) all.emplace_back(launch::post, turn);
    auto start = Clock::now();
    turn();
    for (auto &one : all) one.join();
    return since(start);
}

static double spawn(int count) {
    pooled_fixedsize_stack stacks;
    auto start = Clock::now();
    for (int i = 0; i < count; i++) {
        fiber(launch::post, std::allocator_arg, stacks, [] {}).join();
    }
    return since(start);
}

static double batch(int count) {
    pooled_fixedsize_stack stacks;
    auto start = Clock::now();
    for (int i = 0; i < count; i += 1000) {
        std::vector<fiber> all;
        for (int j = 0; j < 1000; j++) {
            all.emplace_back(launch::post, std::allocator_arg, stacks, [] {});
        }
        for (auto &one : all) one.join();
    }
    return since(start);
}

static double round_trips(int count) {
    buffered_channel<int> ask(2), answer(2);
    fiber server([&] {
        for (int value : ask) answer.push(value);
    });
    auto start = Clock::now();
    for (int i = 0; i < count; i++) {
        ask.push(i);
        answer.value_pop();
    }
    double elapsed = since(start);
    ask.close();
    server.join();
    return elapsed;
}

int main() {
    for (int n : {2, 100, 10000}) {
        report("switch/boost-fiber/" + std::to_string(n), 1000000,
               [n](int count) { return yields(n, count); });
    }
    report("spawn/boost-fiber", 300000, spawn);
    report("spawn/boost-fiber-batch", 300000, batch);
    report("channel/boost-fiber", 300000, round_trips);
}

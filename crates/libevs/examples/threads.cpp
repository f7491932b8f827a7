// A program in C++ with threads: one receives, others send, and the session's end ends them all.
//
//     c++ -pthread -o threads threads.cpp $(pkg-config --cflags --libs libevs)
#include <poll.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <thread>
#include <vector>

#include <evs/evs_ext.h>

namespace {

constexpr unsigned senders = 3;
constexpr unsigned each = 1000;

// What the callbacks share with the other threads; the handle carries it along.
struct Counts {
    std::atomic<unsigned> received{0};
    std::atomic<std::size_t> bytes{0};
};

void on_message(evs_handle_t handle, const evs_message *message)
{
    void *context = nullptr;
    evs_context_get(handle, &context);
    auto *counts = static_cast<Counts *>(context);
    counts->bytes += message->size;
    // The last one is ours: then this thread has seen all. It may end its own session.
    if (++counts->received == senders * each)
        evs_finalize(handle);
}

void send_all(evs_handle_t handle)
{
    char text[] = "from one of several threads";
    iovec part{text, std::strlen(text)};
    pollfd room{-1, POLLIN, 0};
    if (evs_room_fd_get(handle, &room.fd) != CS_OK)
        return;
    for (unsigned sent = 0; sent < each;) {
        switch (evs_mcast_joined(handle, EVS_TYPE_FIFO, &part, 1)) {
        case CS_OK:
            sent++;
            break;
        case CS_ERR_TRY_AGAIN:
            poll(&room, 1, -1);
            break;
        default:
            return;
        }
    }
}

} // namespace

int main()
{
    Counts counts;
    evs_typed_callbacks_t callbacks{};
    callbacks.message = on_message;
    evs_handle_t handle = 0;
    evs_group group{};
    std::strcpy(group.key, "threads in C++");
    if (evs_typed_initialize(&handle, &callbacks, sizeof callbacks, &counts) != CS_OK ||
        evs_join(handle, &group, 1) != CS_OK) {
        std::cerr << "is evsd running?" << std::endl;
        return 1;
    }
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < senders; i++)
        threads.emplace_back(send_all, handle);
    // Until a callback, or anybody else, finalizes the handle, or the daemon goes.
    const cs_error_t error = evs_dispatch(handle, CS_DISPATCH_BLOCKING);
    for (auto &thread : threads)
        thread.join();
    std::cout << "received " << counts.received << " (" << counts.bytes << " bytes)" << std::endl;
    return error == CS_OK && counts.received == senders * each ? 0 : 1;
}

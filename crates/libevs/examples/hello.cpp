// The smallest program in C++: joins a group, says hello, and prints what everybody in it sees.
//
//     c++ -o hello hello.cpp $(pkg-config --cflags --libs libevs)
#include <algorithm>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

#include <evs/evs_ext.h>

// A session that ends with its scope. Callbacks must not throw: C calls them.
class Session {
public:
    explicit Session(const evs_typed_callbacks_t &callbacks, void *context = nullptr)
    {
        check(evs_typed_initialize(&handle, &callbacks, sizeof callbacks, context));
    }
    ~Session() { evs_finalize(handle); }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    void join(const std::string &name)
    {
        evs_group group{};
        std::memcpy(group.key, name.data(), std::min(name.size(), sizeof group.key));
        check(evs_join(handle, &group, 1));
    }
    void send(evs_guarantee_t guarantee, std::string body)
    {
        iovec part{&body[0], body.size()};
        check(evs_mcast_joined(handle, guarantee, &part, 1));
    }
    // Until the session is over.
    void run() { evs_dispatch(handle, CS_DISPATCH_BLOCKING); }

private:
    static void check(cs_error_t error)
    {
        if (error != CS_OK)
            throw std::runtime_error("error " + std::to_string(error));
    }
    evs_handle_t handle = 0;
};

int main()
try {
    evs_typed_callbacks_t callbacks{};
    callbacks.message = [](evs_handle_t, const evs_message *message) {
        std::cout << "node " << message->sender.nodeid << ": ";
        std::cout.write(static_cast<const char *>(message->body),
                        static_cast<std::streamsize>(message->size));
        std::cout << std::endl;
    };
    callbacks.regular = [](evs_handle_t, const evs_regular *regular) {
        std::cout << "configuration " << regular->ring.seq << ": " << regular->members.count
                  << " members, " << regular->left.count << " left, " << regular->joined.count
                  << " joined" << std::endl;
    };
    callbacks.end = [](evs_handle_t, evs_end_t reason) {
        std::cout << "the end, for reason " << reason << std::endl;
    };
    Session session(callbacks);
    session.join("greetings");
    session.send(EVS_TYPE_AGREED, "hello from C++");
    session.run();
} catch (const std::exception &error) {
    std::cerr << error.what() << ": is evsd running?" << std::endl;
    return 1;
}

// SPDX-License-Identifier: Apache-2.0
//
// The gRPC core's peer: grpc.health.v1.Health/Check on Debian's C++ gRPC, cleartext, and nothing
// else. One thread; the callback API or the completion queue, since which of them is faster differs
// by version: bench/health takes the better one.
//
//     grpc_health PORT async|callback
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace
{

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// Calls that wait to be matched with a request. More of them are slower, not faster: 4096 lost a
// third of the rate under 256 connections x 100 streams, since each is new memory when its turn comes.
constexpr int kWaiting = 128;

// One call at a time: waits for a request, answers it, and makes room for the next.
class Call
{
  public:
    Call(Health::AsyncService *service, grpc::ServerCompletionQueue *queue)
        : service_(service), queue_(queue), responder_(&context_)
    {
        service_->RequestCheck(&context_, &request_, &responder_, queue_, queue_, this);
    }

    void Proceed(bool ok)
    {
        if (answered_ || !ok) {
            delete this;
            return;
        }
        new Call(service_, queue_);
        answered_ = true;
        response_.set_status(HealthCheckResponse::SERVING);
        responder_.Finish(response_, grpc::Status::OK, this);
    }

  private:
    Health::AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    grpc::ServerContext context_;
    HealthCheckRequest request_;
    HealthCheckResponse response_;
    grpc::ServerAsyncResponseWriter<HealthCheckResponse> responder_;
    bool answered_ = false;
};

class CallbackService final : public Health::CallbackService
{
    grpc::ServerUnaryReactor *Check(grpc::CallbackServerContext *context,
                                    const HealthCheckRequest *,
                                    HealthCheckResponse *response) override
    {
        response->set_status(HealthCheckResponse::SERVING);
        grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

std::unique_ptr<grpc::Server> Start(grpc::ServerBuilder *builder)
{
    std::unique_ptr<grpc::Server> server = builder->BuildAndStart();
    if (server != nullptr) {
        std::printf("ready\n");
        std::fflush(stdout);
    }
    return server;
}

int ServeAsync(grpc::ServerBuilder *builder)
{
    Health::AsyncService service;
    builder->RegisterService(&service);
    std::unique_ptr<grpc::ServerCompletionQueue> queue = builder->AddCompletionQueue();
    std::unique_ptr<grpc::Server> server = Start(builder);
    if (server == nullptr) {
        return 1;
    }
    for (int i = 0; i < kWaiting; i++) {
        new Call(&service, queue.get());
    }
    void *tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {
        static_cast<Call *>(tag)->Proceed(ok);
    }
    return 0;
}

int ServeCallback(grpc::ServerBuilder *builder)
{
    CallbackService service;
    builder->RegisterService(&service);
    std::unique_ptr<grpc::Server> server = Start(builder);
    if (server == nullptr) {
        return 1;
    }
    server->Wait();
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    bool async = argc == 3 && std::strcmp(argv[2], "async") == 0;
    if (argc != 3 || (!async && std::strcmp(argv[2], "callback") != 0)) {
        std::fprintf(stderr, "usage: %s PORT async|callback\n", argv[0]);
        return 2;
    }
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::string(argv[1]),
                             grpc::InsecureServerCredentials());
    return async ? ServeAsync(&builder) : ServeCallback(&builder);
}

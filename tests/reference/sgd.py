"""The study's linear evaluation, one setting at a time, by PyTorch's own layers and optimiser."""

import torch


def train(views, labels, n_classes, *, lr, batch, weight_decay, epochs, start, orders):
    """The trained network: BatchNorm without affine, then linear, in evaluation mode.

    ``start`` ``[d+1, c]`` holds the first weights, biases last; ``orders`` the row numbers of each epoch.
    """
    d = views[0].shape[1]
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(d, affine=False), torch.nn.Linear(d, n_classes))
    network.double()
    with torch.no_grad():
        network[1].weight.copy_(start[:-1].T)
        network[1].bias.copy_(start[-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay)
    milestones = [int(0.5 * epochs), int(0.75 * epochs)]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    network.train()
    for epoch in range(epochs):
        x = views[epoch % len(views)]
        for first in range(0, len(labels), batch):
            rows = orders[epoch][first : first + batch]
            if len(rows) == 1:
                continue
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows].double()), labels[rows]).backward()
            optimizer.step()
        scheduler.step()
    return network.eval()

"""Routes, gateways and endpoints: moto makes them, and leaves most of them behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.models import ec2_backends
from tests.aws.lab.gaps.place import Place, Properties

from dynwork.testing.waiting import wait_until

EMPTY_S_MAX = 15.0
"""AWS tries for a quarter of an hour."""


def change_route(route: Any, properties: Properties, place: Place) -> Any:
    """Moto cannot."""
    place.of(ec2_backends).replace_route(
        properties["RouteTableId"],
        properties["DestinationCidrBlock"],
        nat_gateway_id=properties.get("NatGatewayId"),
        gateway_id=properties.get("GatewayId"),
    )
    return route


def remove_route(route: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(ec2_backends).delete_route(route.route_table.id, route.destination_cidr_block)


def remove_association(association: Any, place: Place) -> None:
    """Moto leaves it, and with it the table and the subnet."""
    table = place.of(ec2_backends).get_route_table(association.route_table_id)
    for name in [name for name, subnet in table._associations.items() if subnet == association.subnet_id]:
        del table._associations[name]


def remove_nat(nat: Any, place: Place) -> None:
    """Moto leaves it, with its address and its interface in the subnet."""
    backend = place.of(ec2_backends)
    for address in [address for address in backend.addresses if address.eni is nat._eni]:
        backend.disassociate_address(association_id=address.association_id)
    backend.delete_network_interface(nat._eni.id)
    backend.delete_nat_gateway(nat.id)


def remove_attachment(attachment: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(ec2_backends).detach_internet_gateway(attachment.gateway_id, attachment.vpc_id)


def remove_endpoint(endpoint: Any, place: Place) -> None:
    """Moto fails over one whose type the template leaves to be the usual one."""
    backend = place.of(ec2_backends)
    for table in backend.route_tables.values():
        for name in [name for name, route in table._routes.items() if _goes_to(route, endpoint)]:
            del table._routes[name]
    del backend.vpc_end_points[endpoint.id]


def _goes_to(route: Any, endpoint: Any) -> bool:
    return endpoint.id in (getattr(route, "vpc_endpoint_id", None), getattr(route.gateway, "id", None))


def remove_gateway(gateway: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(ec2_backends).delete_internet_gateway(gateway.id)


def remove_table(table: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(ec2_backends).delete_route_table(table.id)


def remove_address(address: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(ec2_backends).release_address(allocation_id=address.allocation_id)


def remove_subnet(subnet: Any, place: Place) -> None:
    """Moto removes it from under the machines in it."""
    _wait_until_empty(lambda machine: machine.subnet_id == subnet.id, f"subnet {subnet.id}", place)
    place.of(ec2_backends).delete_subnet(subnet.id)


def remove_firewall(firewall: Any, place: Place) -> None:
    """Moto removes it from around the machines behind it."""
    _wait_until_empty(lambda machine: firewall in machine.security_groups, f"firewall {firewall.id}", place)
    place.of(ec2_backends).delete_security_group(group_id=firewall.id)


def _wait_until_empty(uses: Callable[[Any], bool], what: str, place: Place) -> None:
    def empty() -> bool:
        every = place.of(ec2_backends).all_instances()
        return not any(uses(machine) for machine in every if machine._state.name != "terminated")

    wait_until(empty, f"DependencyViolation: no machine is in {what}", EMPTY_S_MAX, every_s=0.2)


def remove_vpc(vpc: Any, place: Place) -> None:
    """Moto leaves its access list."""
    backend = place.of(ec2_backends)
    backend.delete_vpc(vpc.id)
    for name in [name for name, one in backend.network_acls.items() if one.vpc_id == vpc.id]:
        del backend.network_acls[name]
